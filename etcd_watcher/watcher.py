"""`Watcher`: pick keys and those interested in them, and see every change."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

import etcd_watcher.arguments as given
from etcd_watcher._html import watcher_html
from etcd_watcher.arguments import Key, Keys, name_of, seconds, several, some
from etcd_watcher.catchup import CatchUp
from etcd_watcher.census import Census
from etcd_watcher.client import Client
from etcd_watcher.connect import Server, connect, make_pool, shut_down, shut_down_later
from etcd_watcher.demux import Demux
from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import WatcherClosed
from etcd_watcher.event import Status
from etcd_watcher.feed import Feed
from etcd_watcher.interactive import note, when_run_again
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.recording.file import Recording
from etcd_watcher.registry import Registry, subscribers
from etcd_watcher.secret import conceal
from etcd_watcher.stores.base import Store
from etcd_watcher.stores.history import KeepsHistory
from etcd_watcher.stores.open import APIS
from etcd_watcher.subscriber import (
    Delivery,
    Subscription,
    WatchedKey,
    check_takes,
    code_of,
    loop_for,
    resolve,
    shown,
)
from etcd_watcher.table import plural
from etcd_watcher.timemachine import TimeMachine
from etcd_watcher.waiting import Waiter
from etcd_watcher.witness import Witness

__all__ = ["Watcher"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Watcher(Witness):
    """Tells subscribers of every change of the keys they are interested in: once and in order.

    Parameters
    ----------
    endpoints : str, iterable of str, LocalEtcd, Recording, Store or None
        URLs of the cluster's members, a `LocalEtcd`, a `Recording` that is to be played, or a store
        (as in `stores.base`). None: `ETCDCTL_ENDPOINTS`, or else
        `http://127.0.0.1:2379` and then `http://127.0.0.1:4001`.
    api : {"auto", "v2", "v3"}
        Which of etcd's APIs to use. "auto": v2 where the server serves it (someone switched it
        on), else v3. `watcher.api` tells.
    user, password : str, optional
        An etcd user; by default from `ETCDCTL_USER` and `ETCDCTL_PASSWORD`.
    ca_cert, cert, key : str, optional
        Paths of PEM files: the server's authority, and a client certificate with its key; by
        default from `ETCDCTL_CACERT`, `ETCDCTL_CERT` and `ETCDCTL_KEY`.
    journal_events, journal_bytes : int
        How many records, and how many bytes of them, `watcher.journal` keeps.
    request_timeout : float
        Seconds for one request to the server.
    speed : float or "max", optional
        For a `Recording`: how many times as fast as it was recorded it is played; "max" for without
        a pause. `watcher.replay` plays, pauses, steps and seeks.
    history_watchers : int, optional
        How many watchers may read the past at one time (v3), 1 to 100, by default 100. Fewer are
        slower: 1 is what other clients do.
    history_copy_bytes : int, optional
        How many bytes may be on disk here of copies of the server's database, from which a long
        past is read (v3), by default 512 MiB; 0 for none. It is the fastest way and the kindest
        to others on the same server, and all of the database comes over the network: see
        docs/history.md.

    Raises
    ------
    ConnectionFailed
        No endpoint answered within 5 s.
    ApiNotServed
        A server answered, but does not speak the API that was asked for.
    ValueError, TypeError
        Something given cannot be meant.

    Examples
    --------
    >>> with LocalEtcd() as etcd, Watcher(etcd.url) as watcher:
    ...     watcher.register("nokia", Subscriber("Luis"), "do_things")
    ...     watcher.put("nokia", "hello")
    ...     watcher.sync()
    Luis: nokia = hello
    """

    def __init__(  # noqa: PLR0913 - what etcdctl can be told, and two limits
        self,
        endpoints: str | Iterable[str] | Server | Store | Recording | None = None,
        *,
        api: str = "auto",
        user: str | None = None,
        password: str | None = None,
        ca_cert: str | None = None,
        cert: str | None = None,
        key: str | None = None,
        journal_events: int = 100_000,
        journal_bytes: int = 64 * 1024 * 1024,
        request_timeout: float = 5.0,
        speed: float | str | None = None,
        history_watchers: int | None = None,
        history_copy_bytes: int | None = None,
    ) -> None:
        if api not in APIS:
            raise ValueError(f"api={api!r}: choose one of {', '.join(map(repr, APIS))}")
        timeout = seconds("request_timeout", request_timeout)
        given.check_history_watchers(history_watchers)
        given.check_history_copy(history_copy_bytes)
        given.check_room("journal_events", journal_events)
        given.check_room("journal_bytes", journal_bytes)
        endpoints, password = conceal(endpoints), conceal(password)
        self._server = endpoints
        """Kept: a `LocalEtcd` goes with its last reference, and it has to stay for as long as we."""
        credentials = Credentials(user, password, ca_cert, cert, key)
        store = connect(endpoints, api=api, credentials=credentials, speed=speed)
        if isinstance(store, KeepsHistory):
            if history_watchers is not None:
                store.history_watchers = history_watchers
            if history_copy_bytes is not None:
                store.history_copy_bytes = history_copy_bytes
        super().__init__(store, timeout)
        self._journal = Journal(journal_events, journal_bytes, self._store.key_range)
        self._pool = make_pool(store)
        self._demux = Demux(self._journal, self._pool)
        self._feed = Feed(self._store, self._demux, self._timeout)
        self._catch_up = CatchUp(self._demux, self._store, self._timeout)
        self._census = Census(self._store, self._demux, self._timeout)
        self._registry = Registry(
            self._store, self._demux, self._feed, self._catch_up, self._census, self._timeout
        )
        self._journal.header = self._registry.header
        self._time_machine = TimeMachine(self._store, self._demux, self._feed, self._timeout)
        self._waiter = Waiter(self._store, self._feed, self._pool, self._journal, self._timeout)
        # Nothing here refers to this object, so that a watcher that nobody holds any more closes by
        # itself, its threads notwithstanding.
        self._parts = (
            self._feed,
            self._store,
            self._pool,
            self._registry,
            self._catch_up,
            self._census,
            self._journal,
            os.getpid(),
        )
        self._end = weakref.finalize(self, shut_down_later, *self._parts)
        note(self)
        when_run_again(self.close)

    # Which keys.

    def add_key(self, key: Keys, *, prefix: bool = False) -> None:
        """Watch a key that nobody is subscribed to yet; its changes go to the journal.

        Several keys take one round trip; for `prefix` see `register`.
        """
        self._check_open()
        self._registry.watch(some(key), prefix=prefix)

    def remove_key(self, key: Keys, *, prefix: bool | None = None) -> None:
        """Watch a key no more, whoever is subscribed to it. Of an unknown key: nothing happens.

        `prefix` says whether the exact key or the prefix is meant; by default both.
        """
        for each in several(key):
            self._registry.remove(each, prefix=prefix)

    @property
    def keys(self) -> list[str]:
        """The keys and prefixes that are watched, in the order in which they came."""
        return [route.key for route in self._registry.shown()]

    @property
    def watched_keys(self) -> tuple[WatchedKey, ...]:
        """Each of `keys` with its subscribers: the very same tuple until something changes."""
        return self._registry.watched()

    # Who is interested.

    def register(
        self, key: Keys, who: object, what: str | Callable[..., Any], *, prefix: bool = False
    ) -> None:
        """Have `what(key, value)` called at each change of a key from now on.

        Returns once the server has acknowledged the watch, so that a put on the next line is not
        missed. Registering the same `who` for the same key again replaces the callback. The calls
        for one `who` come one at a time, in revision order.

        Parameters
        ----------
        key : str, bytes, or an iterable of them
        who : object
            The subscriber.
        what : str or callable
            The name of a method of `who`, or something to call. It gets the key as registered (for
            a prefix: the event's own) and the new value, None for a deletion. An `async def` is
            run on the event loop that is running now.
        prefix : bool
            Be told of all that starts with `key` (v2: the directory, recursively).

        Raises
        ------
        AttributeError, TypeError
            `what` names no method, or cannot be called with a key and a value.
        ConnectionFailed, RequestRejected
            The server did not acknowledge the watch; nothing has changed.
        """
        self._check_open()
        if who is None:
            raise TypeError("nobody (None) cannot be a subscriber: name an object")
        call = resolve(who, what)
        check_takes(call, "key", "value")
        loop, code = loop_for(call, None), code_of(call)

        def make(key: Key, scope: KeyRange) -> Subscription:
            made = Subscription.of_values(name_of(key), scope, prefix, who, call, loop)
            made.what, made.code = what, code
            return made

        self._registry.subscribe(some(key), who, make, prefix=prefix)

    def unregister(
        self, key: Keys, who: object, *, prefix: bool | None = None, keep: bool = False
    ) -> None:
        """Tell `who` no more of a key. The last subscriber's leaving removes the key.

        Of someone who is not subscribed, or on a closed watcher: nothing happens.

        Parameters
        ----------
        key : str, bytes, or an iterable of them
        who : object
        prefix : bool, optional
            Only where it was registered so: as a prefix, or as an exact key. By default both.
        keep : bool
            Go on watching the key, for the journal, when nobody is left.
        """
        for each in several(key):
            self._registry.leave(each, who, prefix=prefix, keep=keep)

    def get_subscribers(self, key: Key) -> list[Any]:
        """Give the subscribers of a key, in the order in which they came."""
        with self._demux.lock:
            return [who for route in self._registry.routes(key) for who in subscribers(route)]

    def on(
        self, key: Keys, *, prefix: bool = False, where: str | None = None
    ) -> Callable[[Function], Function]:
        """Have the decorated function called with each `Event` of a key.

        Parameters
        ----------
        key, prefix
            As for `register`.
        where : {None, "loop"}
            "loop" calls it on the event loop that is running now (in a notebook, the kernel's
            main thread: for pyplot and other code that belongs there). `async def` functions run
            there anyway.

        Examples
        --------
        >>> @watcher.on("sensors/", prefix=True)
        ... def show(event):
        ...     print(event.key, event.value)
        """
        self._check_open()
        keys = given.check_on(key, where)

        def subscribe(function: Function) -> Function:
            self._check_open()
            call = resolve(function, function)
            check_takes(call, "event")
            loop, code = loop_for(call, where), code_of(call)

            def make(key: Key, scope: KeyRange) -> Subscription:
                return Subscription(
                    name_of(key), scope, prefix, function, call, loop, what=function, code=code
                )

            self._registry.subscribe(keys, function, make, prefix=prefix)
            return function

        return subscribe

    def delivery(self, who: object) -> Delivery:
        """Tell how a subscriber's deliveries went: how many, how many failed, and how far behind.

        The counts stay when the watcher is closed.

        Raises
        ------
        ValueError
            `who` is not subscribed.
        """
        mailbox = self._registry.find_mailbox(who, closed=True)
        if mailbox is None:
            raise ValueError(self._registry.stranger(who))
        return mailbox.report(self._journal.last_revision)

    # How it stands.

    @property
    def journal(self) -> Journal:
        """What happened to the watched keys, bounded and in order."""
        return self._journal

    @property
    def status(self) -> Status:
        """How the connection stands: connected, reconnecting (why, next try), closed."""
        return self._feed.status

    @property
    def revision(self) -> int:
        """The revision up to which every change of the watched keys has been seen."""
        return self._feed.revision

    def close(self) -> None:
        """Stop: no callback starts any more, and no thread or socket is left. Idempotent.

        What has not been delivered yet is dropped. A callback under way is waited for, 1 s at most.
        """
        if self._end.detach() is not None:
            shut_down(*self._parts)
            self._server = None  # a notebook's Out may keep us, and is not to keep the server

    def _check_open(self) -> None:
        if not self._end.alive:
            raise WatcherClosed
        self._registry.sweep()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_registry"):  # its making failed: a debugger shows what there is
            return "Watcher(not open)"
        return f"Watcher({self.api}, {self.status.state}, {plural(len(self.keys), 'key')})"

    def _repr_html_(self) -> str:
        keys = [
            (route.key, route.prefix, [shown(who) for who in subscribers(route)])
            for route in self._registry.shown()
        ]
        return watcher_html(self.api, self.endpoints, self.status, keys, self._journal)


for _base in (Client, Witness):  # so that an argument that is misspelt is told of a `Watcher`
    for _method in vars(_base).values():
        if inspect.isfunction(_method):
            _method.__qualname__ = f"Watcher.{_method.__name__}"
