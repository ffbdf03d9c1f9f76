"""The ordered record of what happened: bounded, append-only, and read through cursors.

Pure Python: it knows no network and no notebook.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from etcd_watcher._html import journal_html
from etcd_watcher.arguments import check_room
from etcd_watcher.cursor import Cursor
from etcd_watcher.event import Event, Gap, Record
from etcd_watcher.keys import KeyRange, to_bytes
from etcd_watcher.listing import is_news, list_records
from etcd_watcher.recording.format import Header
from etcd_watcher.table import plural

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cursor", "Journal", "Record", "flat_range"]

CUT_FROM = 1000
"""Forgotten records up to which the lists are not worth cutting."""

RECORD_BYTES = 200
"""Bytes that a Gap or a Status counts for against the journal's bound."""


class Ranges(Protocol):
    """Gives the raw keys that a key or prefix means."""

    def __call__(self, key: bytes, *, prefix: bool) -> KeyRange: ...


def flat_range(key: bytes, *, prefix: bool) -> KeyRange:
    """Take keys as flat bytes, as v3 does."""
    return KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)


class Tap(Protocol):
    """Sees each record on its way into a journal."""

    def take(self, records: Sequence[Record], at: float) -> None:
        """Take what was appended `at` seconds after the epoch, on the thread that appended it."""

    def begin_anew(self) -> None:
        """Take note that revisions count from 1 again."""

    def close(self) -> None:
        """Take note that nothing is appended any more."""


class Journal:
    """A bounded ring of events, gaps and statuses, in revision order.

    It grows by whole transactions and forgets the oldest records first, as soon as there are more
    than `max_events` records or they hold more than `max_bytes` bytes.

    Parameters
    ----------
    max_events : int
        How many records it keeps.
    max_bytes : int
        How many bytes of keys and values (and 400 an event for the rest) it keeps. The newest
        record is always kept, whatever its size.
    key_range : callable, optional
        Gives the raw keys that a key or prefix means; by default those of v3, flat bytes.
    header : callable, optional
        Gives what a recording of it has to begin with.

    Examples
    --------
    >>> for event in watcher.journal.events("nokia"):
    ...     print(event.revision, event.value)
    """

    def __init__(
        self,
        max_events: int = 100_000,
        max_bytes: int = 64 * 1024 * 1024,
        key_range: Ranges = flat_range,
        header: Callable[[], Header] = lambda: Header("v3"),
    ) -> None:
        if max_events < 1 or max_bytes < 1:
            raise ValueError(
                f"a journal needs room: max_events={max_events}, max_bytes={max_bytes} "
                "must both be at least 1"
            )
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._key_range = key_range
        self.header = header
        self._taps: list[Tap] = []
        """Touched where records are appended, by one thread at a time."""
        self._changed = threading.Condition()
        """Guards all that follows; notified after each append."""
        self._records: list[Record] = []
        self._revisions: list[int] = []
        """Beside each record, the revision that orders it: never falling."""
        self._times: list[float] = []
        """Beside each record, when it came."""
        self._start = 0
        """Index of the oldest kept record in the three lists; what is before it is forgotten, and
        cut off in one go once it makes up half of the list, so that forgetting costs O(1)."""
        self._origin = 0
        """Position of `_records[0]`: positions count from the first record ever appended."""
        self._bytes = 0
        self._era = 0
        """Position of the first record whose revision counts as the present ones do."""
        self._forgotten = 0
        self._closed = False

    # Writing: the feed's thread alone.

    def append(self, records: Sequence[Record], times: Sequence[float] = ()) -> None:
        """Append records, whole transactions in revision order, and wake those who wait.

        They came now, or at `times`.
        """
        if not records:
            return
        now = time.time()
        with self._changed:
            latest = self._revisions[-1] if len(self._records) > self._first else 0
            for record in records:
                if type(record) is Event:
                    self._bytes += record.size
                    latest = max(latest, record.revision)
                else:
                    self._bytes += RECORD_BYTES
                    if type(record) is Gap:
                        latest = max(latest, record.first)
                self._records.append(record)
                self._revisions.append(latest)
            self._times.extend(times or [now] * len(records))
            self._forget()
            self._changed.notify_all()
        for tap in self._taps:
            tap.take(records, now)

    def tap(self, tap: Tap) -> Callable[[], None]:
        """Show a tap all that is appended from now on; the call that is given back ends that.

        Both have to be called where nothing is appended meanwhile.
        """
        self._taps = [*self._taps, tap]

        def end() -> None:
            self._taps = [each for each in self._taps if each is not tap]

        return end

    def _forget(self) -> None:
        records, start, size = self._records, self._start, len(self._records)
        while size - start > 1 and (size - start > self.max_events or self._bytes > self.max_bytes):
            oldest = records[start]
            self._bytes -= oldest.size if type(oldest) is Event else RECORD_BYTES
            records[start] = _FORGOTTEN
            if self._origin + start >= self._era:
                self._forgotten = self._revisions[start]
            start += 1
        self._start = start
        if start > size // 2 and start > CUT_FROM:
            del self._records[:start], self._revisions[:start], self._times[:start]
            self._origin += start
            self._start = 0

    def begin_anew(self) -> None:
        """Take records whose revisions begin anew: the server's data was replaced.

        What is here stays readable by position, but no more by revision.
        """
        with self._changed:
            self._era = self._origin + len(self._records)
            self._forgotten = 0
        for tap in self._taps:
            tap.begin_anew()

    @property
    def _first(self) -> int:
        """The index of the first record that can be found by its revision."""
        return max(self._start, self._era - self._origin)

    def close(self) -> None:
        """Take no more records and wake those who wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        taps, self._taps = self._taps, []
        for tap in taps:
            tap.close()

    @property
    def closed(self) -> bool:
        """Whether nothing is appended any more."""
        return self._closed

    # Reading: any thread.

    def read(self, position: int, limit: int | None = None) -> tuple[list[Record], int]:
        """Give the records from `position` on, and the position behind them.

        Positions count records from the first ever appended. If the journal has already forgotten
        some of what was asked for, it begins with the oldest that it still has.
        """
        with self._changed:
            index = max(position - self._origin, self._start)
            end = len(self._records) if limit is None else index + limit
            records = self._records[index:end]
            return records, self._origin + index + len(records)

    def read_timed(
        self, position: int, limit: int | None = None
    ) -> tuple[list[Record], list[float], int]:
        """Do what `read` does, and tell when each record came, in seconds since the epoch.

        etcd keeps no times: a change that was made while we were away has the time at which we
        heard of it.
        """
        with self._changed:
            records, after = self.read(position, limit)
            end = after - self._origin
            return records, self._times[end - len(records) : end], after

    def since(self, revision: int, limit: int | None = None) -> tuple[list[Record], bool]:
        """Give the records from `revision` on, and whether they reach to the journal's end.

        At most about `limit` of them: a transaction is not split.
        """
        with self._changed:
            index = bisect_left(self._revisions, revision, lo=self._first)
            end = len(self._records)
            if limit is not None and index + limit < end:
                cut = self._revisions[index + limit]
                end = bisect_left(self._revisions, cut, lo=index)
                if end == index:  # one transaction larger than the limit: all of it
                    end = bisect_left(self._revisions, cut + 1, lo=index)
            return self._records[index:end], end == len(self._records)

    def wait(self, position: int, timeout: float | None = None) -> bool:
        """Wait until there is a record at `position` or the journal is closed; False on timeout."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or self._origin + len(self._records) > position, timeout
            )

    def cursor(self, *, since: int | None = None) -> Cursor:
        """Make a reader that stands at the journal's end, or at the first record of `since`."""
        with self._changed:
            index = (
                len(self._records)
                if since is None
                else bisect_left(self._revisions, since, lo=self._first)
            )
            return Cursor(self, self._origin + index)

    def events(self, key: str | bytes | None = None, *, prefix: bool = False) -> list[Event]:
        """Give the events that the journal holds, of one key or one prefix where given."""
        with self._changed:
            events = [each for each in self._records[self._start :] if isinstance(each, Event)]
        if key is None:
            return events
        scope = self._key_range(to_bytes(key), prefix=prefix)
        return [each for each in events if each.raw_key in scope]

    @property
    def first_revision(self) -> int:
        """The revision of the oldest record kept; 0 when empty."""
        with self._changed:
            return self._revisions[self._start] if len(self) else 0

    @property
    def last_revision(self) -> int:
        """The revision of the newest record; 0 when empty."""
        with self._changed:
            return self._revisions[-1] if len(self._records) > self._first else 0

    @property
    def forgotten(self) -> int:
        """The newest revision of which a record was forgotten; 0 while none was."""
        return self._forgotten

    @property
    def start(self) -> int:
        """The position of the oldest record kept: how many were forgotten before it."""
        with self._changed:
            return self._origin + self._start

    @property
    def end(self) -> int:
        """The position behind the newest record."""
        with self._changed:
            return self._origin + len(self._records)

    @property
    def size(self) -> int:
        """How many bytes the records hold, as `max_bytes` counts them."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._records) - self._start

    def __iter__(self) -> Iterator[Record]:
        return iter(self.read(0)[0])

    def __getitem__(self, index: int) -> Record:
        return self.read(0)[0][index]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that the journal holds to a file, as a recording; an earlier file goes.

        Recordings are described in docs/recording-format.md.

        Raises
        ------
        OSError
            The file could not be written; an earlier one is as it was.

        Examples
        --------
        >>> watcher.journal.save("lesson.jsonl")
        >>> Journal.load("lesson.jsonl").events("nokia")
        """
        from etcd_watcher.recording.file import save  # noqa: PLC0415 - it imports this module

        with self._changed:
            records, times, _ = self.read_timed(0)
        save(path, self.header(), records, times)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Journal:
        """Give a journal of all that a recording tells, with the times of then.

        Raises
        ------
        BadRecording
            It is no recording, or a line of it is wrong; the message names the line.
        """
        from etcd_watcher.recording.file import Recording  # noqa: PLC0415 - it imports this module

        return Recording(path).journal

    def to_pandas(self) -> pd.DataFrame:
        """Give the events that the journal holds as a DataFrame, one a row.

        Columns are `time` (UTC), `revision`, `type`, `key`, `value`, `prev_value`, `created`,
        `version`, `lease`, `action`, `expired` and `synthetic`; what is not there is missing (NA).
        `attrs["gaps"]` has the first and the last revision and the reason of each gap, if there are
        any.

        Raises
        ------
        ImportError
            Without pandas: `pip install 'etcd-watcher[pandas]'`.
        """
        from etcd_watcher.frame import frame_of  # noqa: PLC0415 - it loads pandas

        records, times, _ = self.read_timed(0)
        return frame_of(records, times)

    def table(self, last: int = 20, *, stable: bool = False) -> str:
        """Lay the last records out as text, oldest first.

        Times, leases and addresses are left out. With `stable`, revisions are called r1, r2, … and
        leases L1, L2, … as they come: then any two runs of a lesson give the same table, whatever
        else was written to the server before.
        """
        check_room("last", last)
        return list_records(self, last, stable=stable)

    def __repr__(self) -> str:
        events = sum(isinstance(each, Event) for each in self)
        gaps = sum(isinstance(each, Gap) for each in self)
        more = f", {plural(gaps, 'gap')}" if gaps else ""
        forgotten = f", {plural(self.start, 'earlier record')} forgotten" if self.start else ""
        return f"Journal({plural(events, 'event')}{more}{forgotten})"

    def _repr_html_(self) -> str:
        shown = [each for each in self if is_news(each)]
        return journal_html(shown[-20:], len(shown) - len(shown[-20:]))


_FORGOTTEN = Gap(0, 0, "forgotten")
"""Stands where a forgotten record stood, so that its memory is free before the list is cut."""
