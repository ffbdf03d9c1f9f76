"""The requests of a v3 store: which endpoint they go to, and which of them are made again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from etcd_watcher.deadline import seconds_left
from etcd_watcher.errors import ConnectionFailed, StoreClosed
from etcd_watcher.stores import wire
from etcd_watcher.stores.rpc import ChannelClosed
from etcd_watcher.stores.v3_absences import Absences
from etcd_watcher.stores.v3_connection import Connection, RequestFailed

__all__ = ["Requests"]

Beside = TypeVar("Beside", Connection, "Requests")

FOR_ANSWER = 0.8
"""The part of the time for an endpoint in which it has to answer; the rest is to find out why not."""

TRIES = 2
"""How often each endpoint is asked at the most. Once is not enough: a connection may turn out to be
gone only once it is used, and the server may be back."""

ELECTION = 0.05
"""Seconds until an endpoint is asked again that says of itself that it cannot answer for now."""

LEADERLESS = 1.0
"""Seconds for which an endpoint without a leader is asked before others are. etcd's members wait as
long, by default, before they elect one: who has none for longer may be cut off from the others."""


class Requests:
    """Makes requests on one connection at a time.

    What never left is made again, at the next endpoint; so is what only reads. A write that was
    under way when its connection was lost is not: it may have been carried out. Who cannot be
    reached is asked until half of the time is over, who has no leader for a second at the most, and
    then another; for a while after that others are asked first.

    Parameters
    ----------
    endpoints : sequence of str
        URLs of the cluster's members.
    connect : callable
        Opens a connection to an endpoint.
    absences : Absences, optional
        Who has lately not answered, where others know of it.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        connect: Callable[[str], Connection],
        absences: Absences | None = None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._connect = connect
        self._absences = absences or Absences()
        self._lock = threading.Lock()
        """Guards all below."""
        self.turn = 0
        self._connection: Connection | None = None
        self._left: list[Connection] = []
        """Those that were left, and may have answers to give."""
        self._others: set[Connection | Requests] = set()
        """To endpoints that are not in use, each for one request; and what is made apart."""
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
        """Go on to the next endpoint, unless somebody has since `turn`.

        What is under way may well be answered: behind a load balancer a watch ends, or a request
        fails, on a connection that is as good as ever, or next to one.
        """
        with self._lock:
            if self.turn != turn:
                return
            self.turn += 1
            connection, self._connection = self._connection, None
            self._left = [each for each in self._left if not each.is_over]
            if connection is not None:
                self._left.append(connection)
        if connection is not None:
            connection.retire()

    def close(self) -> None:
        """End whatever is under way; idempotent."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            others = [*self._others, *self._left]
        for each in others if connection is None else (connection, *others):
            each.close()

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
        try:
            return self._make(name, request, timeout, writes=False)
        except RequestFailed as error:
            raise ConnectionFailed.to([error.endpoint], error.reason) from error

    def write(self, name: str, request: Any, timeout: float) -> Any:
        """Make a request that changes something.

        Raises
        ------
        RequestFailed
            Nobody knows whether it was carried out.
        ConnectionFailed
            It was not: no endpoint took it.
        """
        try:
            return self._make(name, request, timeout, writes=True)
        except RequestFailed as error:
            if error.sent:
                raise
            raise ConnectionFailed.to([error.endpoint], error.reason) from error

    def _make(self, name: str, request: Any, timeout: float, *, writes: bool) -> Any:
        deadline = time.monotonic() + timeout
        made = _Request(name, request, writes)
        first, *others = dict.fromkeys(self.in_turn())
        if others and first in self._absences:
            return self._ask_others(made, [*others, first], deadline, {})
        half = leader_by = deadline
        if others:
            half -= timeout / 2
            leader_by = min(half, time.monotonic() + LEADERLESS)
        try:
            return self._ask_in_use(made, deadline if writes else half, half, leader_by)
        except RequestFailed as error:
            others = [each for each in dict.fromkeys(self.in_turn()) if each != error.endpoint]
            if not others or (writes and error.sent):
                raise
            failed = error
        if failed.late or failed.will_pass:
            self._absences.note(failed.endpoint)
        if failed.will_pass:  # there may be a leader by then
            others.append(failed.endpoint)
        return self._ask_others(made, others, deadline, {failed.endpoint: failed.reason})

    def _ask_in_use(self, made: _Request, deadline: float, met_by: float, leader_by: float) -> Any:
        """Ask the endpoint in use; the next, where it is not there."""
        tries = TRIES * len(self.endpoints)
        while True:
            connection, turn = self._present()
            try:
                return made.make(connection, deadline, met_by, leader_by)
            except ChannelClosed:
                failed = connection.failed("the connection was replaced", sent=False)
            except StoreClosed:
                if self._closed:
                    raise
                # Somebody has gone on to another endpoint. Who asks is not to take that for the end
                # of the store: a subscriber that is catching up would give up for good.
                failed = connection.failed("the connection was replaced")
                tries -= 1
            except RequestFailed as error:
                failed = error
                tries -= 1
                if not (error.late or error.will_pass):
                    self.leave(turn)  # the connection is broken, for all that are on it
            over = failed.late or failed.will_pass or time.monotonic() >= deadline
            if over or tries <= 0 or (made.writes and failed.sent):
                raise failed

    def _ask_others(
        self, made: _Request, others: Sequence[str], deadline: float, reasons: dict[str, str]
    ) -> Any:
        """Ask the other endpoints while the one in use does not answer, for the reason given.

        It stays in use: it may only be slow, and closing its connection would end what others have
        under way there. Whether it is dead the feed finds out.
        """
        left = deque(others)
        while left and (remaining := deadline - time.monotonic()) > 0:
            until = time.monotonic() + remaining / len(left)
            endpoint = left.popleft()
            with self._beside(partial(self._connect, endpoint)) as connection:
                try:
                    answer = made.make(connection, deadline if made.writes else until, until, until)
                except RequestFailed as error:
                    if made.writes and error.sent:
                        raise
                    reasons[endpoint] = error.reason
                else:
                    self._absences.forget(endpoint)
                    return answer
        raise ConnectionFailed.to_each(reasons | dict.fromkeys(left, "no time was left to ask it"))

    def apart(self) -> AbstractContextManager[Requests]:
        """Give requests like these, on connections of their own, for what would hold up others."""
        return self._beside(lambda: Requests(self.in_turn(), self._connect, self._absences))

    @contextmanager
    def _beside(self, make: Callable[[], Beside]) -> Iterator[Beside]:
        """Have something beside the connection in use; it ends with us at the latest."""
        with self._lock:
            if self._closed:
                raise StoreClosed("this store is closed")
            made = make()
            self._others.add(made)
        try:
            yield made
        finally:
            with self._lock:
                self._others.discard(made)
            made.close()


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that can be made on any connection."""

    name: str
    message: Any
    writes: bool

    def make(self, connection: Connection, deadline: float, met_by: float, leader_by: float) -> Any:
        """Make it, again for as long as the endpoint says that it has no leader, until then.

        A write waits until `met_by` for the endpoint to be there.
        """
        while True:
            try:
                if self.writes:
                    connection.meet(seconds_left(met_by))
                return connection.call(self.name, self.message, seconds_left(deadline))
            except RequestFailed as error:
                over = time.monotonic() + ELECTION >= leader_by
                if over or not error.will_pass or (self.writes and error.sent):
                    raise
                time.sleep(ELECTION)
