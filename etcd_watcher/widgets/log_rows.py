"""The rows of a log: the journal's records that a filter shows, numbered, without copying them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from etcd_watcher.event import Event
from etcd_watcher.journal import Journal, Record
from etcd_watcher.widgets.filters import KINDS, Filter, kind_of_record

__all__ = ["LogRows", "Missed", "Row"]

CHUNK = 500
"""Records looked at between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Stands where the journal forgot so many records before the log came to read them."""

    count: int


class Row(NamedTuple):
    """One line of the log.

    Attributes
    ----------
    number : int
        Counts the rows that the filter has shown so far, from 0.
    came : float
        When it came, in seconds since the epoch.
    place, of : int
        Which change of its transaction it is, of how many: 1 of 1 for one alone.
    """

    number: int
    record: Record | Missed
    came: float
    place: int
    of: int


class LogRows:
    """Follows a journal and keeps the positions of the records that a filter shows.

    Not thread-safe: used under the renderer's lock.

    Attributes
    ----------
    epoch : int
        Counts the filters: row numbers of one epoch mean nothing in another.
    first, end : int
        Numbers of the first row that is still there and behind the last one.
    read : dict of str to int
        How many records of each kind it has read, whatever the filter.
    missed : int
        How many records the journal forgot before they were read.
    """

    def __init__(self, journal: Journal, shown: Filter) -> None:
        self._journal = journal
        self._filter = shown
        self.epoch = 0
        self.first = 0
        self.read = dict.fromkeys(KINDS, 0)
        self.missed = 0
        self._counted = journal.start
        """Records before this position are in `read` or `missed`."""
        self._scanned = journal.start
        """Where the next look at records begins."""
        self._stop: int | None = None
        """Where looking ends: where the journal stood when paused; None while live."""
        self._held: tuple[list[Record], list[float], int] | None = None
        """While paused: the records that can be shown, which the journal may forget meanwhile,
        their times, and the position behind them."""
        self._places: list[int] = []
        """Journal positions of the rows `first` to `end`. Below 0, a `Missed`: its position is
        `-1 - place`, and the record of that position comes next."""
        self._gaps: dict[int, int] = {}
        """How many records were missed before a position."""
        self._transactions: dict[int, tuple[int, int]] = {}
        """Of each revision with several changes: the first one's position, and how many."""
        self._run = (0, 0, 0)
        """Revision, first position and number of changes of the transaction read last."""

    @property
    def end(self) -> int:
        return self.first + len(self._places)

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._stop is not None

    @property
    def behind(self) -> int:
        """How many records there are yet to look at."""
        return self._journal.end - self._scanned

    @property
    def busy(self) -> bool:
        """Whether there are still records to look at, of those that it may."""
        end = self._journal.end if self._stop is None else self._stop
        return self._scanned < end

    def pause(self) -> None:
        """Stand still: what is shown stays, even if the journal forgets it, and nothing comes."""
        if self._stop is None:
            records, times, after = self._journal.read_timed(0)
            self._held = (records, times, after)
            self._stop = self._counted

    def resume(self) -> None:
        """Go on where it stood."""
        self._stop = self._held = None

    def show(self, shown: Filter) -> None:
        """Take another filter: the rows are found anew."""
        if shown == self._filter:
            return
        self._filter = shown
        self.epoch += 1
        self.first = 0
        self._places = []
        self._scanned = self._start

    def advance(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
        """Look at records for so many seconds at most, and tell whether anything has changed."""
        before = (self.epoch, self.first, self.end, self._counted, self.missed)
        deadline = clock() + seconds
        while self.busy:
            self._look()
            if clock() >= deadline and not self._inside_transaction():
                break
        self._forget()
        return (self.epoch, self.first, self.end, self._counted, self.missed) != before

    def rows(self, start: int, stop: int) -> list[Row]:
        """Give the rows of these numbers, as far as they are there."""
        start, stop = max(start, self.first), min(stop, self.end)
        rows = (self._row(number) for number in range(start, stop))
        return [row for row in rows if row is not None]

    # Looking.

    @property
    def _start(self) -> int:
        """The oldest position that can be shown."""
        if self._held is None:
            return self._journal.start
        return self._held[2] - len(self._held[0])

    def _read(self, position: int, limit: int) -> tuple[list[Record], list[float], int]:
        if self._held is None:
            return self._journal.read_timed(position, limit)
        records, times, after = self._held
        index = max(position - (after - len(records)), 0)
        found = records[index : index + limit]
        return found, times[index : index + limit], after - len(records) + index + len(found)

    def _look(self) -> None:
        limit = CHUNK if self._stop is None else min(CHUNK, self._stop - self._scanned)
        records, times, after = self._read(self._scanned, limit)
        position = after - len(records)
        if position > self._counted:
            self.missed += position - self._counted
            self._gaps[position] = position - self._counted
            self._counted = position
        places, shows = self._places, self._filter.shows
        for record, came in zip(records, times, strict=True):
            if position in self._gaps:
                places.append(-1 - position)
            if position >= self._counted:
                self.read[kind_of_record(record)] += 1
                self._note_transaction(record, position)
            if shows(record, came):
                places.append(position)
            position += 1
        self._scanned = after
        self._counted = max(self._counted, after)

    def _note_transaction(self, record: Record, position: int) -> None:
        revision = record.revision if isinstance(record, Event) and not record.synthetic else 0
        last, first, count = self._run
        if revision and revision == last and position == first + count:
            self._run = (revision, first, count + 1)
            self._transactions[revision] = (first, count + 1)
        else:
            self._run = (revision, position, 1)

    def _inside_transaction(self) -> bool:
        records = self._read(self._scanned, 1)[0] if self.busy else []
        return (
            bool(records) and isinstance(records[0], Event) and records[0].revision == self._run[0]
        )

    def _forget(self) -> None:
        start = self._start
        gone = bisect_left(self._places, start, key=_position)
        if gone:
            del self._places[:gone]
            self.first += gone
        while self._gaps and (oldest := next(iter(self._gaps))) < start:
            del self._gaps[oldest]
        while self._transactions:
            revision, (first, count) = next(iter(self._transactions.items()))
            if first + count > start:
                break
            del self._transactions[revision]

    def _row(self, number: int) -> Row | None:
        place = self._places[number - self.first]
        position = _position(place)
        records, times, after = self._read(position, 1)
        if after != position + 1:
            return None  # the journal has just forgotten it
        if place < 0:
            return Row(number, Missed(self._gaps.get(position, 0)), times[0], 1, 1)
        record = records[0]
        first, count = position, 1
        if isinstance(record, Event):
            first, count = self._transactions.get(record.revision, (position, 1))
            if not first <= position < first + count:  # made by a resync, at the same revision
                first, count = position, 1
        return Row(number, record, times[0], position - first + 1, count)


def _position(place: int) -> int:
    return place if place >= 0 else -1 - place
