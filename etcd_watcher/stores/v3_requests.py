"""The requests of a v3 store: which endpoint they go to, and which of them are made again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from etcd_watcher.errors import ConnectionFailed, StoreClosed
from etcd_watcher.stores import wire
from etcd_watcher.stores.v3_connection import ClosedBefore, Connection, RequestFailed

__all__ = ["Requests"]

FOR_ANSWER = 0.8
"""The part of the time for an endpoint in which it has to answer; the rest is to find out why not."""

TRIES = 2
"""How often each endpoint is asked at the most. Once is not enough: gRPC refuses with the failure of
its last try to connect for as long as it waits for the next one, and the server may be back."""

ELECTION = 0.05
"""Seconds until an endpoint is asked again that says of itself that it cannot answer for now."""


class Requests:
    """Makes requests on one connection at a time.

    What never left is made again, at the next endpoint; so is what only reads. A write that was
    under way when its connection was lost is not: it may have been carried out.

    Parameters
    ----------
    endpoints : sequence of str
        URLs of the cluster's members.
    connect : callable
        Opens a connection to an endpoint.
    """

    def __init__(self, endpoints: Sequence[str], connect: Callable[[str], Connection]) -> None:
        self.endpoints = tuple(endpoints)
        self._connect = connect
        self._lock = threading.Lock()
        """Guards all below."""
        self.turn = 0
        self._connection: Connection | None = None
        self._closed = False

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self.in_turn()[0]

    def in_turn(self) -> tuple[str, ...]:
        """Give the endpoints, the one in use first."""
        first = self.turn % len(self.endpoints)
        return self.endpoints[first:] + self.endpoints[:first]

    def connection(self) -> Connection:
        """Give the connection in use, opened where there is none."""
        return self._present()[0]

    def _present(self) -> tuple[Connection, int]:
        with self._lock:
            if self._closed:
                raise StoreClosed("this store is closed")
            if self._connection is None:
                self._connection = self._connect(self.endpoint)
            return self._connection, self.turn

    def leave(self, turn: int) -> None:
        """Go on to the next endpoint, unless somebody has since `turn`."""
        with self._lock:
            if self.turn != turn:
                return
            self.turn += 1
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """End whatever is under way; idempotent."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def connect(self, timeout: float) -> str:
        """Find an endpoint that answers, and give its version.

        Parameters
        ----------
        timeout : float
            Seconds for all endpoints together.
        """
        reasons: dict[str, str] = {}
        deadline = time.monotonic() + timeout
        for tried, endpoint in enumerate(self.in_turn()):
            share = (deadline - time.monotonic()) / (len(self.endpoints) - tried)
            connection, turn = self._present()
            try:
                status = connection.call("status", wire.StatusRequest(), share * FOR_ANSWER)
            except ConnectionFailed as error:
                reasons[endpoint] = connection.diagnose(error.reason, share * (1 - FOR_ANSWER))
                self.leave(turn)
            else:
                return str(status.version)
        raise ConnectionFailed.to_each(reasons)

    def read(self, name: str, request: Any, timeout: float) -> Any:
        """Make a request that changes nothing.

        Raises
        ------
        ConnectionFailed
            No endpoint answered.
        """
        deadline = time.monotonic() + timeout
        last = len(self.endpoints) == 1
        try:
            return self._make(name, request, timeout if last else timeout / 2, writes=False)
        except RequestFailed as error:
            if last or not error.late:
                raise
            why = error.reason
        return self._ask_others(name, request, deadline, why)

    def write(self, name: str, request: Any, timeout: float) -> Any:
        """Make a request that changes something.

        Raises
        ------
        RequestFailed
            With `sent`, where nobody knows whether it was carried out.
        """
        return self._make(name, request, timeout, writes=True)

    def _make(self, name: str, request: Any, timeout: float, *, writes: bool) -> Any:
        deadline = time.monotonic() + timeout
        tries = TRIES * len(self.endpoints)
        while True:
            connection, turn = self._present()
            try:
                return connection.call(name, request, max(0.001, deadline - time.monotonic()))
            except ClosedBefore:
                failed = connection.failed("the connection was replaced", sent=False)
            except StoreClosed:
                if self._closed:
                    raise
                # Somebody has gone on to another endpoint. Who asks is not to take that for the end
                # of the store: a subscriber that is catching up would give up for good.
                failed = connection.failed("the connection was replaced")
            except RequestFailed as error:
                failed = error
                if error.will_pass:
                    time.sleep(min(ELECTION, max(0.0, deadline - time.monotonic())))
                elif not error.late:  # the connection is broken, for all that are on it
                    tries -= 1
                    self.leave(turn)
            late = failed.late or time.monotonic() >= deadline
            if late or not tries or (writes and failed.sent):
                raise failed

    def _ask_others(self, name: str, request: Any, deadline: float, why: str) -> Any:
        """Ask the other endpoints while the one in use does not answer.

        It stays in use: it may only be slow, and closing its connection would end what others have
        under way there. Whether it is dead the feed finds out.
        """
        own, *others = self.in_turn()
        reasons = {own: why}
        for tried, endpoint in enumerate(others):
            share = (deadline - time.monotonic()) / (len(others) - tried)
            with closing(self._connect(endpoint)) as connection:
                try:
                    return connection.call(name, request, max(0.001, share))
                except ConnectionFailed as error:
                    reasons[endpoint] = error.reason
        raise ConnectionFailed.to_each(reasons)
