"""A gap, what follows it, and what ought to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from etcd_watcher.event import Event, EventType, Gap
from etcd_watcher.stores.base import KeyValue

if TYPE_CHECKING:
    from etcd_watcher.testing.evidence import Evidence

__all__ = ["Expected", "Fault", "Placed", "Resync", "faults", "settle"]


class Placed(NamedTuple):
    """An event of a stream and where it stands.

    Attributes
    ----------
    position : int
        Its place in the stream.
    part : int
        Changes where something comes between two events: the end of a batch, a gap, a claim.
    event : Event
        The event.
    """

    position: int
    part: int
    event: Event


class Expected(NamedTuple):
    """What a resync has to say of a key.

    Attributes
    ----------
    value : KeyValue or None
        As what it stands now; None where it is gone.
    gone_since : int
        For a key that is gone, when it went.
    created : int
        For a key that is gone, when the last life of it that was known began.
    """

    value: KeyValue | None
    gone_since: int
    created: int


class Fault(NamedTuple):
    """A key of which a resync does not say what is true."""

    raw_key: bytes
    expected: Expected | None
    came: Placed | None


@dataclass(slots=True)
class Resync:
    """A gap and the synthetic events behind it.

    Attributes
    ----------
    position : int
        Where in the stream the gap stands. One that was declared elsewhere has the position of the
        record that it is put before.
    gap : Gap
        The gap.
    made : list of Placed
        The synthetic events up to the next told event or gap.
    at : int
        The revision whose state they lead to. See `gaps`.
    expected : dict
        For each key that the gap left different and of which no told event says so, what there is
        to say of it.
    """

    position: int
    gap: Gap
    made: list[Placed] = field(default_factory=list)
    at: int = 0
    expected: dict[bytes, Expected] = field(default_factory=dict)

    def covers(self, revision: int) -> bool:
        """Tell whether the gap and its resync stand for a change at this revision."""
        return self.gap.first <= revision <= self.at

    @property
    def end(self) -> int:
        """The position of the last record that belongs to it."""
        return self.made[-1].position if self.made else self.position


def settle(resync: Resync, evidence: Evidence) -> None:
    """Find out which revision's state a resync leads to, and what there was to say."""
    last, behind = resync.gap.last, resync.gap.last + 1
    _lead_to(resync, evidence, behind)
    if behind in (evidence.history.compactions or ()):
        return
    # A gap has at least one revision, so when only one is lost, the gap is that of its resync.
    if any(map(evidence.was_told, evidence.due_between(behind, behind))):
        _lead_to(resync, evidence, last)
    elif any(faults(resync, evidence)):
        _lead_to(resync, evidence, last)
        if any(faults(resync, evidence)):
            _lead_to(resync, evidence, behind)


def _lead_to(resync: Resync, evidence: Evidence, revision: int) -> None:
    history, first = evidence.history, resync.gap.first
    resync.at, resync.expected = revision, {}
    newest = {each.raw_key: each for each in evidence.due_between(first, revision)}
    for key, change in newest.items():
        if evidence.was_told(change):
            continue  # it needs no resync; that the gap claims it is lost is said once
        # What a key was before it was asked for, its reader is not to know.
        base = max(first, evidence.start_of(key) or 0) - 1
        before = history.at(key, base)
        now = history.at(key, revision)
        if now is not None:
            resync.expected[key] = Expected(now, 0, 0)
        elif before is not None:
            resync.expected[key] = Expected(None, change.revision, before.created)


def faults(resync: Resync, evidence: Evidence) -> Iterator[Fault]:
    """Give the keys of which a resync says something wrong, or nothing, or too much."""
    said = set()
    told = set()
    for placed in resync.made:
        event = placed.event
        key = event.raw_key
        if not evidence.in_scope(key) or (key, event.revision) in told:
            continue  # other validators' business
        told.add((key, event.revision))
        said.add(key)
        expected = resync.expected.get(key)
        if expected is None or not _is_true(event, expected, resync.at):
            yield Fault(key, expected, placed)
    for key, expected in resync.expected.items():
        if key not in said:
            yield Fault(key, expected, None)


def _is_true(event: Event, expected: Expected, at: int) -> bool:
    now = expected.value
    if now is None:
        # A snapshot does not tell when a key went, so any revision since is right.
        return (
            event.type is EventType.DELETE
            and event.raw_value is None
            and expected.gone_since <= event.revision <= at
            and event.created in {0, expected.created}
            and event.version == 0
        )
    return (
        event.type is EventType.PUT
        and (event.raw_value, event.revision) == (now.raw_value, now.revision)
        and (event.created, event.version) == (now.created, now.version)
    )
