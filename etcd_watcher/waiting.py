"""Waiting for an event that was described, and saying what came instead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from etcd_watcher.event import Event
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.table import plural

__all__ = ["Waiter"]

SHOWN = 5
"""Events that a time-out shows of those that came."""


class Waiter:
    """Finds events in a journal, going on for each range of keys where it left off."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._positions: dict[KeyRange, int] = {}
        """Where in the journal the next search for each range begins. Guarded by `_lock`."""

    def wait_for(
        self,
        scope: KeyRange,
        predicate: Callable[[Event], object] | None,
        timeout: float,
        key: str | bytes,
    ) -> Event | None:
        """Give the next event in `scope` for which `predicate` holds; None when closed meanwhile.

        Raises
        ------
        TimeoutError
            After `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            position = self._positions.get(scope, 0)
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
            if self._journal.closed:
                return None
            if not self._journal.wait(position, max(0.0, deadline - time.monotonic())):
                raise TimeoutError(_story(key, predicate, timeout, came))


def _story(
    key: str | bytes,
    predicate: Callable[[Event], object] | None,
    timeout: float,
    came: list[Event],
) -> str:
    condition = "" if predicate is None else " for which the predicate holds"
    if not came:
        return f"after {timeout:g} s there was no event of {key!r} at all"
    tail = "\n".join(f"  {event!r}" for event in came[-SHOWN:])
    left_out = f"  … and {len(came) - SHOWN} before\n" if len(came) > SHOWN else ""
    return (
        f"after {timeout:g} s there was no event of {key!r}{condition}; "
        f"what had come ({plural(len(came), 'event')}):\n{left_out}{tail}"
    )
