"""A recorded stream beside the ground truth, laid out so that each property is easy to ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.journal import Record
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch
from etcd_watcher.testing.history import History
from etcd_watcher.testing.resyncs import Placed, Resync, settle

__all__ = ["Complete", "Evidence", "Item", "Scope"]


@dataclass(frozen=True, slots=True)
class Complete:
    """A claim within a stream: every change up to `revision` has been told."""

    revision: int


Item = Record | Complete | Batch
"""What a stream is made of. A `Batch`, what a store's watch gives at a time, stands for its events,
which came together, and for the claim behind them where it makes one."""

Scope = KeyRange | Iterable[KeyRange] | Mapping[KeyRange, int]
"""What was asked for; a mapping gives each range a first revision of its own."""


class Claim(NamedTuple):
    """A completeness claim, and where in the stream it was made."""

    position: int
    revision: int


class Evidence:
    """What each validator is given. The parameters are those of `check`.

    Attributes
    ----------
    history : History
        The ground truth.
    due : list of int
        The ordinals of the changes that were asked for, in order.
    events : list of Placed
        Every event of the stream, in the stream's order.
    told : list of Placed
        Those of them that the server is said to have told: all but the synthetic ones.
    first_told : dict of int to Placed
        For the ordinal of each due change that was told, where it was told first.
    resyncs : list of Resync
        The gaps, each with the synthetic events that follow it.
    strays : list of Placed
        Synthetic events that follow no gap.
    claims : list of Claim
        The completeness claims.
    """

    def __init__(  # noqa: PLR0913 - the stream, the truth, and what was asked for
        self,
        stream: Iterable[Item],
        history: History,
        *,
        scope: Scope,
        since: int | None,
        until: int | None = None,
        gaps: Iterable[Gap] = (),
    ) -> None:
        if until is not None and until > history.last:
            raise ValueError(
                f"until={until}, but the history knows of nothing behind revision {history.last}"
            )
        self.history = history
        self.until = until
        self.events: list[Placed] = []
        self.told: list[Placed] = []
        self.claims: list[Claim] = []
        self.resyncs: list[Resync] = []
        self.strays: list[Placed] = []
        self._lay_out(_with_gaps(_flat(stream), gaps))
        self.asked = since
        """The first revision that was asked for; None where the stream began wherever it did."""
        self._starts = _starts(scope, self._beginning() if since is None else since)
        self._start_of: dict[bytes, int | None] = {}
        if since is not None and min(self._starts.values()) < history.first:
            raise ValueError(
                f"the stream was asked for from revision {min(self._starts.values())}, but the "
                f"history knows of nothing before {history.first}"
            )
        self.due = [
            ordinal
            for ordinal, event in enumerate(history)
            if self.is_due(event.raw_key, event.revision)
        ]
        self.first_told: dict[int, Placed] = {}
        for placed in self.told:
            key, revision = placed.event.raw_key, placed.event.revision
            if self.is_due(key, revision):
                ordinal = history.ordinal(revision, key)
                if ordinal is not None:
                    self.first_told.setdefault(ordinal, placed)
        for resync in self.resyncs:
            settle(resync, self)

    def _lay_out(self, records: Iterator[tuple[int, int, Record | Complete]]) -> None:
        part = seen = 0
        open_resync: Resync | None = None
        for position, batch, record in records:
            if batch != seen:
                seen, part = batch, part + 1
            if isinstance(record, Event):
                placed = Placed(position, part, record)
                self.events.append(placed)
                if not record.synthetic:
                    self.told.append(placed)
                    open_resync = None
                elif open_resync is None:
                    self.strays.append(placed)
                else:
                    open_resync.made.append(placed)
            elif isinstance(record, Gap):
                open_resync = Resync(position, record)
                self.resyncs.append(open_resync)
                part += 1
            elif isinstance(record, Complete):
                self.claims.append(Claim(position, record.revision))
                part += 1

    def _beginning(self) -> int:
        """Give the revision at which a stream began that was not asked for a certain one."""
        firsts = [(each.position, each.event.revision) for each in self.told[:1]]
        firsts += [(each.position, each.gap.first) for each in self.resyncs[:1]]
        firsts += [(each.position, each.revision + 1) for each in self.claims[:1]]
        return max(min(firsts)[1], self.history.first) if firsts else self.history.last + 1

    @property
    def begins(self) -> int:
        """The first revision that any range was asked for."""
        return min(self._starts.values())

    def start_of(self, raw_key: bytes) -> int | None:
        """Give the first revision that was asked for of a key; None where it was not asked for."""
        if raw_key not in self._start_of:
            starts = [start for scope, start in self._starts.items() if raw_key in scope]
            self._start_of[raw_key] = min(starts, default=None)
        return self._start_of[raw_key]

    def in_scope(self, raw_key: bytes) -> bool:
        """Tell whether a key was asked for."""
        return self.start_of(raw_key) is not None

    def is_due(self, raw_key: bytes, revision: int) -> bool:
        """Tell whether a change of this key at this revision was asked for."""
        start = self.start_of(raw_key)
        return start is not None and revision >= start

    def due_between(self, first: int, last: int) -> list[Event]:
        """Give the changes of revisions `first` to `last` that were asked for."""
        between = self.history.between(first, last)
        return [each for each in between if self.is_due(each.raw_key, each.revision)]

    def was_told(self, event: Event) -> bool:
        """Tell whether a true event is in the stream as one that the server told."""
        return self.history.ordinal(event.revision, event.raw_key) in self.first_told

    def first_tellings(self) -> list[Placed]:
        """Give the told events of keys that were asked for, without those that came before."""
        seen = set()
        firsts = []
        for placed in self.told:
            place = (placed.event.revision, placed.event.raw_key)
            if place not in seen and self.in_scope(placed.event.raw_key):
                seen.add(place)
                firsts.append(placed)
        return firsts


def _starts(scope: Scope, since: int) -> dict[KeyRange, int]:
    if isinstance(scope, KeyRange):
        return {scope: since}
    if isinstance(scope, Mapping):
        starts = {each: max(start, since) for each, start in scope.items()}
    else:
        starts = dict.fromkeys(scope, since)
    if not starts:
        raise ValueError("scope: of which keys is the stream?")
    return starts


def _flat(stream: Iterable[Item]) -> Iterator[tuple[int, int, Record | Complete]]:
    """Give each record with its position and a number that changes where a batch begins or ends."""
    position = boundary = 0
    for item in stream:
        if not isinstance(item, Batch):
            yield position, boundary, item
            position += 1
            continue
        boundary += 1
        for event in item.events:
            yield position, boundary, event
            position += 1
        boundary += 1
        if item.complete:
            yield position, boundary, Complete(item.complete)
            position += 1


def _with_gaps(
    records: Iterator[tuple[int, int, Record | Complete]], gaps: Iterable[Gap]
) -> Iterator[tuple[int, int, Record | Complete]]:
    """Put gaps that were declared elsewhere before the first event that comes later than they."""
    waiting = sorted(gaps, key=lambda gap: gap.first, reverse=True)
    position = boundary = 0
    for position, boundary, record in records:
        if isinstance(record, Status) or (isinstance(record, Gap) and record.subscriber):
            continue  # the connection's, or the gap of one who lagged: not this stream's
        while waiting and _revision(record) >= waiting[-1].first:
            yield position, boundary, waiting.pop()
        yield position, boundary, record
    while waiting:
        yield position + 1, boundary, waiting.pop()


def _revision(record: Event | Gap | Complete) -> int:
    return record.first if isinstance(record, Gap) else record.revision
