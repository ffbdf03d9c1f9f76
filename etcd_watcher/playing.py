"""Waiting for a recording: whoever waits plays it, and it may come to an end before the time is up."""

from __future__ import annotations

import contextlib
import time

from etcd_watcher.errors import TimedOut, WatcherClosed
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.mailbox import DELIVERING
from etcd_watcher.pool import LOOP_LOOK, Pool
from etcd_watcher.recording.replay import Replay
from etcd_watcher.turns import Turns

__all__ = ["Plays"]

LOOK = 0.05
"""Seconds between two looks whether a replay stands."""

LAST = 2**63 - 1
"""A revision that no change is behind."""


class Plays:
    """Plays a recording for who waits.

    Parameters
    ----------
    replay, feed, pool, journal
        The parts of its watcher.
    """

    def __init__(self, replay: Replay, feed: Feed, pool: Pool, journal: Journal) -> None:
        self._replay = replay
        self._feed = feed
        self._pool = pool
        self._journal = journal

    def to_where_it_stands(self, timeout: float) -> None:
        """Play until nothing more comes by itself: at the end, or where it was paused.

        A callback does not wait: the replay waits for it.

        Raises
        ------
        TimeoutError
            After `timeout` seconds.
        RuntimeError
            When an async callback waits for the event loop that this call blocks.
        """
        self._replay.start()
        if DELIVERING.get() is not None:
            return
        __tracebackhide__ = True  # of pytest
        deadline = time.monotonic() + timeout
        while not self._replay.wait(min(LOOP_LOOK, deadline - time.monotonic())):
            if self._journal.closed:
                raise WatcherClosed
            self._pool.settle(LAST, 0)
            if time.monotonic() >= deadline:
                raise TimedOut(self._replay.too_long(timeout))
        self._feed.step()

    def wait(self, position: int, deadline: float) -> bool:
        """Play until the journal goes on behind a position; False when it does not any more."""
        self._replay.start()
        aside = self._pool.aside() if isinstance(self._pool, Turns) else contextlib.nullcontext()
        with aside:
            while True:
                remaining = deadline - time.monotonic()
                if self._journal.wait(position, max(0.0, min(LOOK, remaining))):
                    return True
                if self._replay.stands:
                    self._feed.step()  # what was told last is in the journal then
                    return self._journal.wait(position, 0)
                if remaining <= 0:
                    return False

    def how_it_stands(self) -> str:
        """Say how it stands, as in "the replay ended"; "" where it goes on."""
        if not self._replay.stands:
            return ""
        return "ended" if self._replay.finished else "was paused"
