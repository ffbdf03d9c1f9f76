"""What a replay gives at a time: a transaction, or a loss with what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etcd_watcher.event import Event, Gap, Record, Status
from etcd_watcher.recording.file import Recording

__all__ = ["Step", "steps_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """What came together.

    Attributes
    ----------
    due : float
        Seconds from the beginning of the recording.
    notes : tuple of Gap or Status
        What comes before the events.
    events : tuple of Event
    revision : int
        The revision that is reached with it.
    anew : bool
        Whether revisions begin anew with its events: the server's data had been replaced.
    """

    due: float
    notes: tuple[Gap | Status, ...]
    events: tuple[Event, ...]
    revision: int
    anew: bool = False


def steps_of(recording: Recording) -> list[Step]:
    """Cut a recording into steps. The closing of the watcher that was recorded is none."""
    records, dues = recording.records, _dues(recording)
    steps: list[Step] = []
    revision = index = 0
    while index < len(records):
        record = records[index]
        end = index + 1
        if isinstance(record, Event):
            while end < len(records) and _same_transaction(record, records[end]):
                end += 1
            notes: tuple[Gap | Status, ...] = ()
        else:
            while isinstance(record, Gap) and end < len(records) and _synthetic(records[end]):
                end += 1
            notes = (record,)
        events = tuple(each for each in records[index:end] if isinstance(each, Event))
        lost = isinstance(record, Gap) and not record.subscriber
        anew = lost and _next_revision(records, index + 1) <= revision
        if events:
            revision = events[-1].revision
        elif anew:
            revision = 0
        if not (isinstance(record, Status) and record.state == "closed"):
            steps.append(Step(dues[index], notes, events, revision, anew))
        index = end
    return steps


def _dues(recording: Recording) -> list[float]:
    """Give when each record is due.

    How long a recording lay before it was continued, and a clock that was set back, count for
    nothing.
    """
    dues: list[float] = []
    due, before = 0.0, 0.0
    parts = set(recording.parts)
    for index, time in enumerate(recording.times):
        if index and index not in parts:
            due += max(0.0, time - before)
        before = time
        dues.append(due)
    return dues


def _same_transaction(event: Event, other: Record) -> bool:
    return isinstance(other, Event) and other.revision == event.revision


def _synthetic(record: Record) -> bool:
    return isinstance(record, Event) and record.synthetic


def _next_revision(records: Sequence[Record], start: int) -> int:
    """Give the revision of the next event."""
    for index in range(start, len(records)):
        record = records[index]
        if isinstance(record, Event):
            return record.revision
    return 2**63
