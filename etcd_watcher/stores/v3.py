"""etcd's v3 API over gRPC: the store, and its unary calls. Its watch is in `v3_watch`."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from etcd_watcher.deadline import seconds_left
from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import (
    Conflict,
    ConnectionFailed,
    Denied,
    EtcdWatcherError,
    RequestRejected,
)
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange, to_text
from etcd_watcher.stores import v3_permissions, wire
from etcd_watcher.stores.base import (
    Cluster,
    KeyHead,
    KeyPage,
    KeyValue,
    Member,
    Snapshot,
    TimeToLive,
)
from etcd_watcher.stores.rpc import ChannelClosed
from etcd_watcher.stores.v3_connection import Connection, RequestFailed
from etcd_watcher.stores.v3_database import COPY_BYTES, DatabaseCopy, Room
from etcd_watcher.stores.v3_events import key_value
from etcd_watcher.stores.v3_history import WATCHERS, Segments
from etcd_watcher.stores.v3_login import Login
from etcd_watcher.stores.v3_outbox import range_end
from etcd_watcher.stores.v3_past import Past, is_proxy
from etcd_watcher.stores.v3_requests import Requests
from etcd_watcher.stores.v3_segments import Plan
from etcd_watcher.stores.v3_version import forgets_deletions, progress_is_barrier
from etcd_watcher.stores.v3_watch import V3Watch

__all__ = ["V3Store"]

SNAPSHOT_PAGE = 10_000
"""Keys of a snapshot read at a time."""

EQUAL, MOD_REVISION = 0, 2
"""What a transaction compares, and how."""


class V3Store:
    """The v3 API of one etcd cluster, through one endpoint at a time.

    Parameters
    ----------
    endpoints : sequence of str
        URLs of the cluster's members, as `parse_endpoints` gives them.
    credentials : Credentials
        User and certificates.
    prev_values : bool
        Whether events bring the value before. See `v3_values` for what it costs.
    history_watchers : int
        How many watchers may read the past at one time, 1 to 100.
    history_copy_bytes : int
        How many bytes copies of members' databases may have that are read at the same time; 0 for
        none.
    """

    api = "v3"

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        credentials: Credentials | None = None,
        prev_values: bool = True,
        history_watchers: int = WATCHERS,
        history_copy_bytes: int = COPY_BYTES,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.prev_values = prev_values
        self.version = ""
        self.fragment_next = False
        """Set by a watch that got a message over `MESSAGE_BOUND`: the next one asks for fragments.
        Never from the start: on a catch-up the server's fragmenting takes time squared in the
        number of events (200,000 came at 8,000/s instead of 280,000/s)."""
        self._credentials = credentials or Credentials()
        self._login = Login(self._credentials.user)
        self._rights = v3_permissions.Rights(self._credentials)
        self._readable: bytes | None = None
        """A key that our user may read, to ask for when only the revision is wanted."""
        self._asked_for = b"\0"
        """A key that somebody is interested in: it may be the first that we may read."""
        self.history_watchers = history_watchers
        self.history_copy_bytes = history_copy_bytes
        self._requests = Requests(self.endpoints, self._connect)
        self._copies = Room()
        self._past = Past(self._connect, (self._copy, self._segments), self.connection)

    @property
    def endpoint(self) -> str:
        return self._requests.endpoint

    @property
    def turn(self) -> int:
        return self._requests.turn

    def rotate(self, turn: int) -> None:
        self._requests.leave(turn)

    def connection(self) -> Connection:
        """Give the connection in use."""
        return self._requests.connection()

    def connect(self, timeout: float) -> None:
        """Find an endpoint that answers, within `timeout` seconds for all of them together."""
        self.version = self._requests.connect(timeout)

    def _connect(self, endpoint: str) -> Connection:
        return Connection(endpoint, self._credentials, self._login)

    def _read(self, name: str, request: Any, timeout: float) -> Any:
        with self._explaining(name, request):
            return self._requests.read(name, request, timeout)

    def _write(self, name: str, request: Any, key: bytes, timeout: float) -> Any:
        try:
            with self._explaining(name, request):
                return self._requests.write(name, request, timeout)
        except RequestFailed as error:
            raise ConnectionFailed.unanswered(error.endpoint, error.reason, to_text(key)) from error

    @contextmanager
    def _explaining(self, name: str, request: Any) -> Iterator[None]:
        """Say who may not do what, where a request is denied."""
        try:
            yield
        except Denied as denied:
            raise self._rights.explain(denied, self.endpoint, name, request) from denied

    @property
    def progress_is_barrier(self) -> bool:
        """Whether a progress reply comes after every event up to its revision."""
        return progress_is_barrier(self.version)

    @property
    def forgets_deletions(self) -> bool:
        """Whether the server may not tell the deletions of the revision at which it is compacted."""
        return forgets_deletions(self.version)

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        if not key and not prefix:
            raise ValueError('a key is empty: name one, or use prefix=True with "" for all keys')
        return KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)

    def admit(self, scopes: Sequence[KeyRange], timeout: float, *, whole: bool = True) -> None:
        self._asked_for = scopes[0].start or b"\0"
        self.learn_rights(timeout)
        self._rights.check(scopes, whole=whole)

    def learn_rights(self, timeout: float) -> None:
        """Ask what our user may read."""
        deadline = time.monotonic() + timeout
        self._rights.learn(lambda name, request: self._read(name, request, seconds_left(deadline)))

    def readable_parts(self, scope: KeyRange) -> list[KeyRange]:
        """Give the parts of a range that our user may read; all of it where that is not known."""
        return self._rights.parts(scope)

    def revision(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        try:
            return self._revision_by_any_key(deadline)
        except Denied:
            if self._rights.allowed is not None:
                raise
            self.learn_rights(seconds_left(deadline))  # nobody has asked for a key yet
            return self._revision_by_any_key(deadline)

    def _revision_by_any_key(self, deadline: float) -> int:
        allowed = [each.start or b"\0" for each in self._rights.allowed or ()]
        *others, last = dict.fromkeys(
            [self._readable or self._asked_for, self._asked_for, *allowed]
        )
        for key in others:
            with suppress(RequestRejected):  # our rights may have changed
                return self._revision(key, seconds_left(deadline))
        return self._revision(last, seconds_left(deadline))

    def _revision(self, key: bytes, timeout: float) -> int:
        reply = self._read("range", wire.RangeRequest(key=key, count_only=True), timeout)
        self._readable = key
        return int(reply.header.revision)

    def newest_in(self, scope: KeyRange, timeout: float) -> tuple[int, int]:
        """Give the newest revision of the live keys in `scope`, and that of the store."""
        request = wire.RangeRequest(
            key=scope.start or b"\0",
            range_end=range_end(scope),
            limit=1,
            sort_order=2,
            sort_target=3,
            keys_only=True,
        )
        reply = self._read("range", request, timeout)
        newest = max((kv.mod_revision for kv in reply.kvs), default=0)
        return newest, int(reply.header.revision)

    def get(self, key: bytes, timeout: float) -> KeyValue | None:
        reply = self._read("range", wire.RangeRequest(key=key), timeout)
        return key_value(reply.kvs[0]) if reply.kvs else None

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        with self._leased(ttl, 0, deadline) as lease:
            request = wire.PutRequest(key=key, value=value, lease=lease)
            return int(self._write("put", request, key, seconds_left(deadline)).header.revision)

    @contextmanager
    def _leased(self, ttl: int | None, lease: int, deadline: float) -> Iterator[int]:
        """Give the lease for a write, granted where there is a TTL, and ended where it is refused."""
        if ttl is None:
            yield lease
            return
        request = wire.LeaseGrantRequest(TTL=ttl)
        # Made twice it does no harm: a lease that nobody knows ends like any other.
        granted = int(self._read("grant", request, seconds_left(deadline)).ID)
        try:
            yield granted
        except (Conflict, RequestRejected):
            # Who tries until there is no conflict would leave one each time, for as long as its TTL.
            with suppress(EtcdWatcherError):
                revoke = wire.LeaseRevokeRequest(ID=granted)
                self._requests.read("revoke", revoke, seconds_left(deadline))
            raise

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
        deadline = time.monotonic() + timeout
        with self._leased(ttl, lease, deadline) as leased:
            put = wire.PutRequest(key=key, value=value, lease=leased)
            return self._if_at(revision, key, wire.RequestOp(put=put), seconds_left(deadline))

    def compare_and_delete(self, key: bytes, revision: int, timeout: float) -> None:
        deletion = wire.DeleteRangeRequest(key=key)
        self._if_at(revision, key, wire.RequestOp(delete=deletion), timeout)

    def _if_at(self, revision: int, key: bytes, operation: Any, timeout: float) -> int:
        """Do something if a key is still at a revision, and give the revision of that."""
        present = wire.RangeRequest(key=key, keys_only=True)
        request = wire.TxnRequest(
            compare=[
                wire.Compare(result=EQUAL, target=MOD_REVISION, key=key, mod_revision=revision)
            ],
            success=[operation],
            failure=[wire.RequestOp(range=present)],
        )
        reply = self._write("txn", request, key, timeout)
        if reply.succeeded:
            return int(reply.header.revision)
        found = [int(kv.mod_revision) for each in reply.responses for kv in each.range.kvs]
        raise Conflict(to_text(key), revision, max(found, default=0))

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:
        scope = self.key_range(key, prefix=prefix)
        request = wire.DeleteRangeRequest(
            key=scope.start or b"\0", range_end=range_end(scope) if prefix else b""
        )
        return int(self._write("delete", request, key, timeout).deleted)

    def time_left(self, key: bytes, timeout: float) -> TimeToLive | None:
        deadline = time.monotonic() + timeout
        reply = self._read("range", wire.RangeRequest(key=key, keys_only=True), timeout)
        lease = reply.kvs[0].lease if reply.kvs else 0
        if not lease:
            return None
        request = wire.LeaseTimeToLiveRequest(ID=lease)
        life = self._read("time_to_live", request, seconds_left(deadline))
        # -1 for one that has just ended: its keys are about to go.
        return TimeToLive(max(0, int(life.TTL)), int(life.grantedTTL), lease)

    def keys(self, scope: KeyRange, after: bytes | None, limit: int, timeout: float) -> KeyPage:
        parts = [
            part
            for part in self.readable_parts(scope)
            if after is None or part.end is None or after + b"\0" < part.end
        ]
        if not parts:
            return KeyPage(0, [], None, 0)
        page = self._keys(parts[0], after, limit, timeout)
        if len(parts) == 1:
            return page
        # The end of a part is not yet the end: whoever asks again goes on with the next.
        return KeyPage(page.revision, page.heads, page.after or parts[0].end, None)

    def _keys(self, scope: KeyRange, after: bytes | None, limit: int, timeout: float) -> KeyPage:
        start = scope.start if after is None else max(scope.start, after + b"\0")
        request = wire.RangeRequest(
            key=start or b"\0", range_end=range_end(scope), limit=limit, keys_only=True
        )
        reply = self._read("range", request, timeout)
        heads = [
            KeyHead(
                kv.key, kv.mod_revision, kv.create_revision, kv.version, kv.lease, kv.lease != 0
            )
            for kv in reply.kvs
        ]
        last = heads[-1].raw_key if reply.more else None
        return KeyPage(int(reply.header.revision), heads, last, int(reply.count))

    def cluster(self, timeout: float) -> Cluster:
        deadline = time.monotonic() + timeout
        status = self._requests.read("status", wire.StatusRequest(), timeout)
        try:
            request = wire.MemberListRequest()
            found = self._requests.read("members", request, seconds_left(deadline)).members
        except RequestRejected:  # not for everybody, where etcd has users
            found = []
        members = [
            Member(each.name, tuple(each.client_urls), each.id == status.leader) for each in found
        ]
        return Cluster(
            status.version,
            int(status.header.revision),
            tuple(sorted(members, key=lambda member: member.name)),
            int(status.size),
        )

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:
        items: list[KeyValue] = []
        revision = at or 0
        # A large read would starve the watch on its connection, so it gets its own.
        with self._requests.apart() as requests:
            for part in self.readable_parts(scope):
                start = part.start or b"\0"
                while start:
                    request = wire.RangeRequest(
                        key=start, range_end=range_end(part), limit=SNAPSHOT_PAGE, revision=revision
                    )
                    with self._explaining("range", request):
                        reply = requests.read("range", request, timeout)
                    revision = revision or int(reply.header.revision)
                    items.extend(map(key_value, reply.kvs))
                    start = items[-1].raw_key + b"\0" if reply.more else b""
        return Snapshot(revision, items)

    def watch(self, scope: KeyRange, after: int) -> V3Watch:
        fragment, self.fragment_next = self.fragment_next, False
        connection = self.connection()
        try:
            return V3Watch(self, connection, scope, after, fragment=fragment)
        except ChannelClosed:
            self.connection()  # which says so where we are closed
            raise connection.failed("the connection was replaced") from None

    def history(
        self, scope: KeyRange, first: int, last: int
    ) -> Generator[list[Event], None, int] | None:
        # Several parts would have to be put in order again; a watch does that.
        parts = self.readable_parts(scope)
        if len(parts) != 1:
            return None
        return self._past.read(self._requests.in_turn(), parts[0], first, last)

    def _copy(
        self, connection: Connection, scope: KeyRange, first: int, last: int
    ) -> DatabaseCopy | None:
        # Some versions give it to everybody with a password: not to us, in whose file others' keys
        # and values would be.
        if not self.history_copy_bytes or self._rights.allowed is not None:
            return None
        most, room = self.history_copy_bytes, self._copies
        return DatabaseCopy(connection, scope, first, last, most=most, room=room)

    def _segments(self, connection: Connection, scope: KeyRange, first: int, last: int) -> Segments:
        plan, overlap = Plan(first - 1, last), int(self.forgets_deletions)
        watchers = 1 if is_proxy(connection) else self.history_watchers
        return Segments(connection, scope, plan, watchers, overlap)

    def close(self) -> None:
        self._past.close()
        self._requests.close()
