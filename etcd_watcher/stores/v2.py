"""etcd's v2 API over python-etcd: the store. Its watch is in `v2_watch`, its HTTP in `v2_http`."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TypeVar

import etcd

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed, Denied, RequestRejected, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import v2_questions as questions
from etcd_watcher.stores.base import Cluster, KeyPage, KeyValue, Snapshot, TimeToLive
from etcd_watcher.stores.certificate import known_as
from etcd_watcher.stores.tls import tls_context
from etcd_watcher.stores.v2_client import (
    Client,
    EmptyAnswer,
    delete,
    explain,
    list_place,
    read_index,
)
from etcd_watcher.stores.v2_http import Connection
from etcd_watcher.stores.v2_keys import (
    NO_KEY,
    Place,
    canonical,
    checked_value,
    place_of,
    quote,
    tree_range,
)
from etcd_watcher.stores.v2_mirror import Mirror
from etcd_watcher.stores.v2_refusal import explain_refusal
from etcd_watcher.stores.v2_watch import V2Watch
from etcd_watcher.stores.v2_wire import Interrupted, TransportFailed, Waker

__all__ = ["V2Store"]

T = TypeVar("T")

REFUSAL = 2.0
"""Seconds to find out what it is that our user may not read."""

LARGEST_POOL = 4
"""Connections to an endpoint that are kept for further requests."""


class V2Store:
    """The v2 API of one etcd cluster, through one endpoint at a time.

    Parameters
    ----------
    endpoints : sequence of str
        URLs of the cluster's members, as `parse_endpoints` gives them.
    credentials : Credentials
        User and certificates.

    Notes
    -----
    v2 keys are paths of text: `nokia`, `/nokia` and `//nokia/` are one key. Keys and values that
    are not UTF-8 are refused: the server would put U+FFFD in the place of what it cannot read, so
    that two keys become one and a value another.
    """

    api = "v2"

    def __init__(self, endpoints: Sequence[str], *, credentials: Credentials | None = None) -> None:
        self.endpoints = tuple(endpoints)
        self._credentials = credentials or Credentials()
        self._user = known_as(self._credentials)
        uses_tls = any(url.startswith("https:") for url in self.endpoints)
        self._context = tls_context(self._credentials) if uses_tls else None
        self._closing = Waker()
        """Ends the requests of all threads when the store is closed."""
        self._lock = threading.Lock()
        """Guards all below."""
        self._closed = False
        self._requests = 0
        """Under way: the last one to end after `close` closes `_closing`."""
        self.turn = 0
        self._pool: dict[str, list[Client]] = {url: [] for url in self.endpoints}
        self._reached = dict.fromkeys(self.endpoints, 0)
        """The newest index that each endpoint has told of: what is up to it, it knows."""
        self._readable: bytes | None = None
        """A key that our user may read, to ask for when only the index is wanted."""
        self._asked_for: Sequence[KeyRange] = ()
        """What was asked for last: its first key may be the first that we may read."""
        self._mirror: Mirror | None = None
        """What the last watch or snapshot knew, for the next watch to go on from."""
        self._watches: weakref.WeakSet[V2Watch] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"V2Store({', '.join(self.endpoints)})"

    @property
    def endpoint(self) -> str:
        return self.endpoints[self.turn % len(self.endpoints)]

    def rotate(self, turn: int) -> None:
        self._turn_to(turn, turn + 1)

    def _turn_to(self, before: int, after: int) -> None:
        """Go on to another endpoint, unless somebody has done so since `before`."""
        with self._lock:
            if self.turn == before:
                self.turn = after

    # Reading and writing.

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        return tree_range(key, prefix=prefix)

    def admit(self, scopes: Sequence[KeyRange], timeout: float, *, whole: bool = True) -> None:
        """See `stores.base.Store`. v2 cannot say beforehand: the watch itself is refused."""
        del timeout, whole
        self._asked_for = scopes

    def revision(self, timeout: float) -> int:
        asked_for = [place_of(scope).index_key for scope in self._asked_for[:1]]
        keys = (NO_KEY, self._readable, *asked_for)
        index, self._readable = questions.read_newest(self._asker(timeout), keys)
        return index

    def get(self, key: bytes, timeout: float) -> KeyValue | None:
        path = canonical(key, prefix=False)
        place = Place(path, recursive=False)
        listing = self._ask(partial(list_place, place=place), path, timeout)
        return listing.items[0] if listing.items else None

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:
        """See `stores.base.Store`.

        Raises
        ------
        ValueError
            For a value that is not UTF-8, or a TTL below 1 s, with which the server would write
            the key and delete it at once.
        """
        path = canonical(key, prefix=False)
        text = checked_value(path, value, ttl)

        def write(client: Client) -> int:
            return int(client.write(quote(path), text, ttl=ttl).modifiedIndex)

        return self._ask(write, path, timeout, writes=True)

    def compare_and_put(  # noqa: PLR0913 - as the protocol has it
        self,
        key: bytes,
        value: bytes,
        revision: int,
        timeout: float,
        *,
        ttl: int | None = None,
        lease: int = 0,
    ) -> int:
        path = canonical(key, prefix=False)
        text = checked_value(path, value, ttl, lease)
        write = partial(
            questions.compare_and_put, path=path, value=text, revision=revision, ttl=ttl
        )
        return self._ask(write, path, timeout, writes=True)

    def compare_and_delete(self, key: bytes, revision: int, timeout: float) -> None:
        path = canonical(key, prefix=False)
        remove = partial(questions.compare_and_delete, path=path, revision=revision)
        self._ask(remove, path, timeout, writes=True)

    def time_left(self, key: bytes, timeout: float) -> TimeToLive | None:
        path = canonical(key, prefix=False)
        return self._ask(partial(questions.time_left, path=path), path, timeout)

    def keys(self, scope: KeyRange, after: bytes | None, limit: int, timeout: float) -> KeyPage:
        return questions.list_keys(self._asker(timeout), scope, after, limit)

    def cluster(self, timeout: float) -> Cluster:
        return questions.read_cluster(self._asker(timeout), self._readable)

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:
        """See `stores.base.Store`.

        The deletion of a prefix is one change, its number of keys comes from a read before: what
        others write in between is deleted but not counted. With the root, which the server does
        not let anyone delete, each directory and key at its top is a change of its own. Hidden
        keys go uncounted with their directory, and stay at the root.
        """
        path = canonical(key, prefix=prefix)
        if not prefix:
            remove = partial(delete, place=Place(path, recursive=False))
            return self._ask(remove, path, timeout, writes=True)
        deadline = time.monotonic() + timeout
        place = Place(path, recursive=True)
        listing = self._ask(partial(list_place, place=place), path, timeout)
        if not listing.is_directory:
            return 0
        for each in [path] if path else listing.children:
            remove = partial(delete, place=Place(each, recursive=True))
            self._ask(remove, each, deadline - time.monotonic(), writes=True)
        return len(listing.items)

    def _asker(self, timeout: float) -> questions.Ask:
        """Give what puts several questions, all within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        return lambda question, path: self._ask(question, path, deadline - time.monotonic())

    # For the feed.

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:
        """Read every key of a range as it is now, whatever `at` says: v2 cannot look back."""
        del at
        place = place_of(scope)
        listing = self._ask(partial(list_place, place=place), place.path, timeout)
        self.keep(Mirror(place, listing.index, listing.items))
        items = [item for item in listing.items if item.raw_key in scope]
        return Snapshot(listing.index, sorted(items, key=attrgetter("raw_key")))

    def watch(self, scope: KeyRange, after: int) -> V2Watch:
        watch = V2Watch(self, self.endpoint, scope, after)
        with self._lock:
            if not self._closed:
                self._watches.add(watch)
                return watch
        watch.close()
        raise StoreClosed("this store is closed")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            watches = list(self._watches)
            idle = [client for pool in self._pool.values() for client in pool]
            self._pool = {url: [] for url in self.endpoints}
            self._closing.wake()
            if not self._requests:
                self._closing.close()
        for client in idle:
            client.http.close()
        for watch in watches:
            watch.close()

    # For the watch.

    def load(self, endpoint: str, place: Place, waker: Waker, timeout: float) -> Mirror:
        """Read what lives in a place."""
        question = partial(list_place, place=place)
        listing = self._ask_one(endpoint, question, place.path, waker, timeout)
        return Mirror(place, listing.index, listing.items)

    def index_at(self, endpoint: str, key: bytes, waker: Waker, timeout: float) -> int:
        """Give the index that an endpoint has reached, not before the cluster's present one."""
        return self._ask_one(endpoint, partial(read_index, key=key), key, waker, timeout)

    def explain(self, error: etcd.EtcdException, endpoint: str, path: bytes) -> Exception:
        """Give the error of ours that says what this one of python-etcd's means."""
        return explain(error, endpoint, path, self._user)

    def refuse(self, place: Place, denied: Denied) -> RequestRejected:
        """Give the error for a place that our user may not read, by what was asked for last."""
        return explain_refusal(self._asker(REFUSAL), place, self._asked_for, denied)

    def note(self, endpoint: str, index: int, *, anew: bool = False) -> None:
        """Note that an endpoint has told of an index; `anew` if it told of a later one before."""
        with self._lock:
            self._reached[endpoint] = index if anew else max(index, self._reached[endpoint])

    def has_reached(self, endpoint: str, index: int) -> bool:
        with self._lock:
            return self._reached[endpoint] >= index

    def keep(self, mirror: Mirror) -> None:
        """Keep what a watch knew."""
        with self._lock:
            self._mirror = mirror

    def take(self, place: Place, after: int) -> Mirror | None:
        """Give what was kept, if a watch can go on from there."""
        with self._lock:
            mirror = self._mirror
            if mirror is None or not mirror.serves(place, after):
                return None
            self._mirror = None
            return mirror

    def forget(self, watch: V2Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def connect(self, endpoint: str, waker: Waker) -> Client:
        """Make a client of one endpoint's, with a connection of its own."""
        return Client(Connection(endpoint, self._credentials, self._context, waker))

    @contextmanager
    def client(
        self, endpoint: str, waker: Waker, timeout: float, answer_by: float = 0.0
    ) -> Iterator[Client]:
        """Lend a client for a request that is to be done in `timeout` seconds."""
        client = self._borrow(endpoint, waker)
        client.http.waker = waker
        client.http.deadline = time.monotonic() + timeout
        client.http.answer_by = answer_by
        try:
            yield client
        finally:
            self._give_back(endpoint, client)

    def _borrow(self, endpoint: str, waker: Waker) -> Client:
        with self._lock:
            if self._closed:
                raise StoreClosed("this store is closed")
            self._requests += 1
            if self._pool[endpoint]:
                return self._pool[endpoint].pop()
        return self.connect(endpoint, waker)

    def _give_back(self, endpoint: str, client: Client) -> None:
        with self._lock:
            self._reached[endpoint] = max(client.index, self._reached[endpoint])
            self._requests -= 1
            pool = self._pool[endpoint]
            if client.http.busy or self._closed or len(pool) >= LARGEST_POOL:
                client.http.close()
            else:
                pool.append(client)
            if self._closed and not self._requests:
                self._closing.close()

    def _ask_one(  # noqa: PLR0913 - a place, a question, and until when
        self,
        endpoint: str,
        question: Callable[[Client], T],
        path: bytes,
        waker: Waker,
        timeout: float,
        *,
        answer_by: float = 0.0,
    ) -> T:
        """Ask an endpoint.

        Raises
        ------
        TransportFailed
            It does not answer, or cannot for now.
        Interrupted
            By the waker.
        """
        try:
            with self.client(endpoint, waker, timeout, answer_by) as client:
                return question(client)
        except EmptyAnswer as error:
            raise TransportFailed("it is about to stop", sent=True) from error
        except etcd.EtcdException as error:
            raise self.explain(error, endpoint, path) from error

    def _ask(
        self,
        question: Callable[[Client], T],
        path: bytes,
        timeout: float,
        *,
        writes: bool = False,
    ) -> T:
        """Ask the endpoints in turn, beginning with the one in use, and use the one that answers.

        What writes is not asked twice: the first may have carried it out. So once it is sent it has
        all of the time.
        """
        deadline = time.monotonic() + timeout
        answer_by = deadline if writes else 0.0
        first = self.turn
        reasons: dict[str, str] = {}
        for tried in range(len(self.endpoints)):
            endpoint = self.endpoints[(first + tried) % len(self.endpoints)]
            share = (deadline - time.monotonic()) / (len(self.endpoints) - tried)
            try:
                answer = self._ask_one(
                    endpoint, question, path, self._closing, share, answer_by=answer_by
                )
            except Interrupted as error:
                raise StoreClosed("this store was closed during a request") from error
            except TransportFailed as error:
                reasons[endpoint] = str(error)
                if writes and error.sent:
                    self._turn_to(first, first + tried + 1)  # for those who ask next
                    raise ConnectionFailed.unanswered(
                        endpoint, str(error), path.decode()
                    ) from error
            else:
                self._turn_to(first, first + tried)
                return answer
        raise ConnectionFailed.to_each(reasons)
