"""Where a long past is read: on connections of its own, from another member where there is one.

A server reads history under the one lock that every put takes, too: for half a million revisions
that is seconds in all, whoever asks and however. But each member has a lock of its own, and a put
needs no more than most of them. So what we leave alone is the member that our live watch is with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress

from etcd_watcher.errors import ConnectionFailed, EtcdWatcherError, StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.history import FAR
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_lineage import Reading, tell

__all__ = ["Past", "is_proxy"]

MEMBER_ANSWER = 0.5
"""Seconds that another member has to say that it is as far; one that takes longer is no help."""

BEHIND = 0.02
"""Seconds until a member is asked again that is still a little behind its leader."""


class Past:
    """Reads the past of one store.

    Parameters
    ----------
    connect : callable
        Opens a connection to an endpoint.
    ways : sequence of callables
        Ways to read a range on a connection from a first revision to a last one: each goes on where
        the one before it ended. One that gives None cannot.
    in_use : callable
        Gives the connection in use.
    """

    def __init__(
        self,
        connect: Callable[[str], Connection],
        ways: Sequence[Callable[[Connection, KeyRange, int, int], Reading | None]],
        in_use: Callable[[], Connection],
    ) -> None:
        self._connect = connect
        self._ways = ways
        self._in_use = in_use
        self._lock = threading.Lock()
        """Guards all below."""
        self.readers: set[Reading] = set()
        """What reads at present."""
        self._closed = False

    def read(
        self, endpoints: Sequence[str], scope: KeyRange, first: int, last: int
    ) -> Generator[list[Event], None, int]:
        """Give the events of a range, as `KeepsHistory.history`.

        Parameters
        ----------
        endpoints : sequence of str
            The one that the store uses, and the others: these are tried first.
        """
        own, *others = dict.fromkeys(endpoints)
        reached = first - 1
        connection = self._find_member(own, others, last)
        if connection is not None:
            told = self._read_from(connection, scope, first, last)
            try:
                while True:
                    events = next(told)
                    yield events
                    reached = events[-1].revision
            except StopIteration as end:
                reached = end.value
            except ConnectionFailed:
                pass  # that member is gone: ours has the rest
            finally:
                told.close()
            if last - reached <= FAR:
                return reached
        connection = self._connect(own)
        return (yield from self._read_from(connection, scope, reached + 1, last))

    def _find_member(self, own: str, others: Sequence[str], last: int) -> Connection | None:
        """Connect to the first other member that has the past up to a revision, if any has."""
        cluster = self._cluster_of(own) if others else 0
        for endpoint in others if cluster else ():
            connection = self._connect(endpoint)
            if _is_as_far(connection, last, cluster):
                return connection
            connection.close()
        return None

    def _cluster_of(self, own: str) -> int:
        """Give the ID of our endpoint's cluster, as that itself says; 0 where it does not.

        Nobody else's word counts: it may be a stranger's.
        """
        connection = self._in_use()
        with suppress(EtcdWatcherError):
            if connection.endpoint == own:  # else another is in use by now
                status = connection.call("status", wire.StatusRequest(), MEMBER_ANSWER)
                return int(status.header.cluster_id)
        return 0

    def _read_from(
        self, connection: Connection, scope: KeyRange, first: int, last: int
    ) -> Generator[list[Event], None, int]:
        reached = first - 1
        try:
            for begin in self._ways:
                reading = begin(connection, scope, reached + 1, last)
                if reading is None:
                    continue
                reached = yield from self._tell(reading, connection, last)
                if last - reached <= FAR:
                    break
        finally:
            connection.close()
        return reached

    def _tell(
        self, reading: Reading, connection: Connection, last: int
    ) -> Generator[list[Event], None, int]:
        try:
            with self._lock:
                if self._closed:
                    raise StoreClosed("this store is closed")
                self.readers.add(reading)
            return (yield from tell(reading, connection, last))
        finally:
            self.readers.discard(reading)
            reading.close()

    def close(self) -> None:
        """End all reading, from any thread."""
        with self._lock:
            self._closed = True
            readers = list(self.readers)
        for each in readers:
            each.close()


def _is_as_far(connection: Connection, last: int, cluster: int) -> bool:
    """Tell whether a member of a cluster has the past up to a revision, or gets it in a moment."""
    deadline = time.monotonic() + MEMBER_ANSWER
    try:
        while (left := deadline - time.monotonic()) > 0:
            header = connection.call("status", wire.StatusRequest(), left).header
            if header.cluster_id != cluster:
                return False  # a stranger: another past has the same revisions
            if header.revision >= last:
                return True
            time.sleep(BEHIND)
    except EtcdWatcherError:
        pass  # it is away
    return False


def is_proxy(connection: Connection) -> bool:
    """Tell whether an endpoint is no member, but etcd's `grpc-proxy`.

    It makes one watch of several of the same range, and takes the revision in the head of a response
    for the one up to which a watch was told: of those that read the past, one joins another that is
    farther, and misses what lies between. So 2 of 16 histories by several watchers lacked events, and
    none of 8 by one (etcd 3.4.23 and 3.5.1). The members it tells by itself, without a head.
    """
    try:
        answer = connection.call("members", wire.MemberListRequest(), MEMBER_ANSWER)
    except EtcdWatcherError:
        return False
    return not answer.header.cluster_id
