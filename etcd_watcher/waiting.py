"""Waiting without `sleep`: for all that is on its way, or for one event that was described."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from etcd_watcher.catchup import RETRY
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.errors import ConnectionFailed, HistoryReplaced, StoreClosed, WatcherClosed
from etcd_watcher.event import Event
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Store
from etcd_watcher.subscriber import shown
from etcd_watcher.table import plural

__all__ = ["Waiter"]

SHOWN = 5
"""Events that a time-out shows of those that came."""


class Waiter:
    """Waits for a watcher: for everything up to now, or for one event.

    Parameters
    ----------
    store, feed, pool, journal
        The watcher's parts.
    request_timeout : float
        Seconds for one request to the store.
    """

    def __init__(
        self, store: Store, feed: Feed, pool: WorkerPool, journal: Journal, request_timeout: float
    ) -> None:
        self._store = store
        self._feed = feed
        self._pool = pool
        self._journal = journal
        self._request_timeout = request_timeout
        self._lock = threading.Lock()
        self._positions: dict[KeyRange, int] = {}
        """Where in the journal the next search for each range begins. Guarded by `_lock`."""

    def sync(self, timeout: float) -> None:
        """Wait until every change committed by now has been delivered; see `Watcher.sync`."""
        deadline = time.monotonic() + timeout
        revision = self._newest_revision(deadline, timeout)
        if not self._feed.wait_complete(revision, deadline - time.monotonic()):
            self._check_open()
            status = self._feed.status
            reason = f" ({status.reason})" if status.reason else ""
            raise TimeoutError(
                f"after {timeout:g} s the changes up to revision {revision} had not all come: "
                f"{self._feed.revision} was reached, and the watcher is {status.state}{reason}"
            )
        late = self._pool.settle(revision, deadline - time.monotonic())
        self._check_open()
        if late:
            names = ", ".join(shown(each.who) for each in late[:SHOWN])
            raise TimeoutError(
                f"after {timeout:g} s the callbacks of {plural(len(late), 'subscriber')} had not "
                f"returned for all changes up to revision {revision}: {names}"
            )

    def _newest_revision(self, deadline: float, timeout: float) -> int:
        """Ask the server for its newest revision, again while it is away."""
        while True:
            remaining = deadline - time.monotonic()
            seen = self._feed.revision
            try:
                revision = self._store.revision(max(0.001, min(self._request_timeout, remaining)))
            except StoreClosed:
                self._check_open()  # else the feed has just turned to another endpoint
            except ConnectionFailed as error:
                self._check_open()
                if deadline - time.monotonic() <= RETRY:
                    raise TimeoutError(f"after {timeout:g} s: {error}") from error
                self._feed.wait_for_change(RETRY)
            else:
                if revision < seen:
                    raise HistoryReplaced(revision, seen)
                return revision

    def _check_open(self) -> None:
        if self._journal.closed:
            raise WatcherClosed

    def wait_for(
        self,
        key: str | bytes,
        scope: KeyRange,
        predicate: Callable[[Event], object] | None,
        timeout: float,
    ) -> Event:
        """Give the next event in `scope` for which `predicate` holds; see `Watcher.wait_for`."""
        deadline = time.monotonic() + timeout
        event = self._find(key, scope, predicate, timeout)
        # Its callbacks have returned, too, where that can be had: not for one on this very loop.
        self._feed.step()
        with contextlib.suppress(RuntimeError):
            self._pool.settle(event.revision, deadline - time.monotonic())
        return event

    def _find(
        self,
        key: str | bytes,
        scope: KeyRange,
        predicate: Callable[[Event], object] | None,
        timeout: float,
    ) -> Event:
        deadline = time.monotonic() + timeout
        with self._lock:
            position = began = self._positions.get(scope, 0)
        came: list[Event] = []
        while True:
            records, end = self._journal.read(position)
            for at, record in enumerate(records, start=end - len(records)):
                if isinstance(record, Event) and record.raw_key in scope:
                    if predicate is None or predicate(record):
                        with self._lock:
                            self._positions[scope] = at + 1
                        return record
                    came.append(record)
            position = end
            self._check_open()
            if not self._journal.wait(position, max(0.0, deadline - time.monotonic())):
                raise TimeoutError(_story(key, predicate, timeout, came, went_before=began > 0))


def _story(
    key: str | bytes,
    predicate: Callable[[Event], object] | None,
    timeout: float,
    came: list[Event],
    *,
    went_before: bool,
) -> str:
    condition = "" if predicate is None else " for which the predicate holds"
    if not came:
        which = "no further event" if went_before else "no event"
        behind = "behind the one that the last call gave" if went_before else "at all"
        return f"after {timeout:g} s there was {which} of {key!r} {behind}"
    tail = "\n".join(f"  {event!r}" for event in came[-SHOWN:])
    left_out = f"  … and {len(came) - SHOWN} before\n" if len(came) > SHOWN else ""
    return (
        f"after {timeout:g} s there was no event of {key!r}{condition}; "
        f"what had come ({plural(len(came), 'event')}):\n{left_out}{tail}"
    )
