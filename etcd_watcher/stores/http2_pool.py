"""The connections to one server: mostly one, and more where it takes few requests on each.

A load balancer may take only so many requests at a time on a connection, of which a watch is one for
ever, and only so many altogether.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from etcd_watcher.errors import StoreClosed
from etcd_watcher.stores.forks import keep_from_forks
from etcd_watcher.stores.http2 import Connection
from etcd_watcher.stores.http2_link import Bell, NotConnected, Route
from etcd_watcher.stores.http2_session import Stream

__all__ = ["ChannelClosed", "Pool"]

TRIES = 3
"""Connections that are made for a request, where a server takes none at all on those that it has just
taken: it may be going, and a proxy before it may not know that yet."""


class ChannelClosed(StoreClosed):
    """A channel was closed before a call."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before a request")


class Pool:
    """Gives connections for requests; one is made where none takes a request, and by one thread.

    Parameters
    ----------
    connecting : float
        Seconds for making a connection, TLS and all.
    """

    def __init__(self, route: Route, *, connecting: float) -> None:
        self._route = route
        self._connecting = connecting
        self._begin()
        keep_from_forks(self)
        self._closed = False

    def _begin(self) -> None:
        self._lock = threading.RLock()
        """Guards all below. It is taken by itself: an interrupt may leave a `Condition` locked."""
        self._tried = threading.Condition(self._lock)
        """Notified when a try to connect is over."""
        self._present: Connection | None = None
        """The one that took the last request."""
        self._connections: tuple[Connection, ...] = ()
        """Those that are not over, as far as we know. Another tuple at each change."""
        self._bell: Bell | None = None
        """While somebody connects: to tell them to give up."""
        self._failure: str | None = None
        """Why there is no connection, where the last try failed."""

    def abandon(self) -> None:
        """See `forks.Inherited`."""
        self._begin()

    def begin(
        self, open_on: Callable[[Connection], Stream | None], until: float
    ) -> tuple[Connection, Stream]:
        """Begin a request on a connection that takes it.

        Parameters
        ----------
        open_on : callable
            Begins it on a connection: `Connection.open`.

        Raises
        ------
        ChannelClosed
        NotConnected
            There is no connection that takes it.
        TimeoutError
            There was none in time.
        """
        refusals = 0
        while refusals < TRIES:
            connection = self._given(until)
            stream = open_on(connection)
            if stream is not None:
                return connection, stream
            if time.monotonic() >= until:
                raise TimeoutError
            if not connection.was_used:  # else others were there before us
                refusals += 1
                self._drop(connection)
        raise NotConnected("the server takes no requests")

    def _given(self, until: float) -> Connection:
        """Give a connection that seems to take a request."""
        while True:
            present, known = self._present, self._connections
            if present is not None and present.is_open and not self._closed:
                return present
            for each in known:
                if each is not present and each.is_open and not self._closed:
                    self._present = each
                    return each
            bell: Bell | None = None
            try:
                with self._lock:
                    if not self._is_our_turn(known, until):
                        continue
                    self._bell = bell = Bell()
                return self._connect(bell, until)
            except BaseException as error:  # an interrupt, too
                # Who waited has more time, maybe, and tries by themselves.
                reason = str(error) if isinstance(error, NotConnected) else None
                self._end_try(bell, None, reason)
                raise

    def _is_our_turn(self, known: tuple[Connection, ...], until: float) -> bool:
        """Tell whether it is for us to connect; where another does, wait for what comes of it."""
        if self._bell is not None:
            if not self._tried.wait_for(lambda: self._bell is None, until - time.monotonic()):
                raise TimeoutError
            if self._failure is not None and not self._closed:
                raise NotConnected(self._failure)
            known = ()
        if self._closed:
            raise ChannelClosed
        if self._connections != known:
            return False
        self._connections = tuple(each for each in known if not each.is_over)
        self._failure = None
        return True

    def _connect(self, bell: Bell, until: float) -> Connection:
        try:
            made = Connection(self._route, bell, min(self._connecting, until - time.monotonic()))
        except NotConnected:
            if self._closed:
                raise ChannelClosed from None
            if time.monotonic() >= until:
                raise TimeoutError from None
            raise
        self._end_try(bell, made, None)
        if self._closed:
            raise ChannelClosed
        return made

    def _end_try(self, bell: Bell | None, made: Connection | None, failure: str | None) -> None:
        """Say how a try to connect has ended, once."""
        with self._lock:
            if bell is None or self._bell is not bell:
                return
            self._bell, self._failure = None, failure
            self._tried.notify_all()
            if made is None:
                bell.close()
                return
            self._present, self._connections = made, (*self._connections, made)
            if self._closed:
                made.close()

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._connections = tuple(each for each in self._connections if each is not connection)
        connection.retire()

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more, once it was closed or retired."""
        return all(each.is_over for each in self._connections)

    def retire(self) -> None:
        """Take no more requests, from any thread, and end with those that are under way."""
        for each in self._finish():
            each.retire()

    def close(self) -> None:
        """End everything, from any thread; idempotent."""
        for each in self._finish():
            each.close()

    def _finish(self) -> tuple[Connection, ...]:
        with self._lock:
            self._closed = True
            if self._bell is not None:
                self._bell.over = True
                self._bell.ring()
            return self._connections
