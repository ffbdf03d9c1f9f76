"""A past that several need at the same time, read once.

Twenty subscribers who are behind by the same 20,000 revisions are told the same events. When each
read for itself, the server's database was copied twenty times and decoded as often: 66 MB and 2 s,
where it is 3.5 MB and 0.3 s now.

What was read last is kept, within a bound, for who comes a little later or is a little slower. Nobody
waits for a slower one: who falls farther behind leaves, and goes on with whoever is there, or alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from itertools import chain
from operator import itemgetter

from etcd_watcher.event import EVENT_OVERHEAD, Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.history import FAR

__all__ = ["PastReader", "SharedPasts"]

KEPT_BYTES = 8 * 1024 * 1024
"""Bytes that are kept of all readings together; and the newest batch of each, however large."""

KEPT_ALONE = 1024 * 1024
"""Bytes that are kept of one that has a single reader, for who comes a little later. Events that live
on cost time: with 8 MB of them the garbage collector took 0.026 s more for 200,000, of 0.26 s."""

KEY_OF, VALUE_OF = itemgetter(1), itemgetter(2)

Replay = Callable[[KeyRange, int, int], Generator[list[Event], None, None]]


class SharedPasts:
    """The pasts that are being read; `replay` reads one, as `stores.history.replay`."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.lock = threading.Lock()
        """Guards all below, with what is in them."""
        self.readings: list[_Reading] = []

    def join(self, scope: KeyRange, first: int, last: int, era: int) -> PastReader:
        """Read a range from `first` on: with others who do, as far as these go, or up to `last`.

        `era` tells data from what has replaced it.
        """
        with self.lock:
            found = (each for each in self.readings if each.serves(scope, first, era))
            reading = next(found, None)
            if reading is None:
                reading = _Reading(self._replay(scope, first, last), scope, first, last, era)
                self.readings.append(reading)
            return PastReader(self, reading, first)


class _Reading:
    """A past that is being read. `source` is for who has `turn`; the rest is guarded by the lock."""

    def __init__(
        self,
        source: Generator[list[Event], None, None],
        scope: KeyRange,
        first: int,
        last: int,
        era: int,
    ) -> None:
        self.source, self.turn = source, threading.Lock()
        self.scope, self.last, self.era = scope, last, era
        self.forgotten = self.reached = first - 1
        """The revisions up to which nothing is kept, and up to which everything was read."""
        self.kept: deque[tuple[list[Event], int]] = deque()
        """The batches that were read last, with their bytes."""
        self.begin = self.size = 0
        """The number of the first of them, and the bytes of all."""
        self.readers = 0

    def serves(self, scope: KeyRange, first: int, era: int) -> bool:
        """Tell whether one who begins at `first` finds it here, or soon will."""
        is_near = self.forgotten < first <= min(self.reached + FAR, self.last)
        return is_near and (self.scope, self.era) == (scope, era)

    def keep(self, events: list[Event], room: int) -> None:
        """Keep one more batch, and of those before it what there is room for."""
        texts = chain(map(KEY_OF, events), filter(None, map(VALUE_OF, events)))
        cost = len(events) * EVENT_OVERHEAD + sum(map(len, texts))
        self.kept.append((events, cost))
        self.size += cost
        self.reached = events[-1].revision
        while self.size > room and len(self.kept) > 1:
            old, cost = self.kept.popleft()
            self.begin += 1
            self.size -= cost
            self.forgotten = old[-1].revision


class PastReader:
    """Reads a past, alone or with others: on one thread at a time, but for `close`.

    Attributes
    ----------
    reached : int
        The revision up to which everything was given.
    """

    def __init__(self, pasts: SharedPasts, reading: _Reading, first: int) -> None:
        self._pasts, self._reading = pasts, reading
        self._next = reading.begin
        """The number of the batch that comes next."""
        self._closed = False
        self.scope, self.era, self.reached = reading.scope, reading.era, first - 1
        reading.readers += 1

    def read(self) -> list[Event] | None:
        """Give the next events, in whole transactions; None at the end, or where others have left us.

        Raises
        ------
        Compacted, ConnectionFailed, StoreClosed, RequestRejected
            As `stores.history.replay`.
        """
        while (events := self._take() or self._read_on()) is not None:
            reached, self.reached = self.reached, max(self.reached, events[-1].revision)
            if events[0].revision > reached:
                return events
            if self.reached > reached:  # we began in the middle of it
                return [each for each in events if each.revision > reached]
        return None

    def _take(self) -> list[Event] | None:
        """Give the next batch where it is here."""
        reading = self._reading
        with self._pasts.lock:
            place = self._next - reading.begin
            if not 0 <= place < len(reading.kept):
                return None
            self._next += 1
            return reading.kept[place][0]

    def _read_on(self) -> list[Event] | None:
        """Read the next batch, or wait for who is just doing so."""
        reading = self._reading
        if self._next < reading.begin:
            return None
        with reading.turn:
            if (events := self._take()) is not None or self._next < reading.begin:
                return events
            try:
                events = next(reading.source, None)
            except BaseException:
                with self._pasts.lock:
                    reading.last = reading.reached  # why, others find out by themselves
                raise
            with self._pasts.lock:
                if events is None:
                    self.reached = max(self.reached, reading.last)
                else:
                    self._next += 1
                    room = KEPT_BYTES // max(1, len(self._pasts.readings))
                    reading.keep(events, room if reading.readers > 1 else min(room, KEPT_ALONE))
            return events

    def close(self) -> None:
        """Leave; the last one ends the reading. Idempotent, and from any thread."""
        reading = self._reading
        with self._pasts.lock:
            if self._closed:
                return
            self._closed = True
            reading.readers -= 1
            if reading.readers:
                return
            self._pasts.readings.remove(reading)
        # Where another thread is still in it, it ends as that comes out, and lets go of it.
        if reading.turn.acquire(blocking=False):
            try:
                reading.source.close()
            finally:
                reading.turn.release()
