"""What can be seen of a stream's events without their values: which, in which order, together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from etcd_watcher.table import plural
from etcd_watcher.testing.evidence import Evidence
from etcd_watcher.testing.resyncs import Placed
from etcd_watcher.testing.violation import Violation, quoted, told

__all__ = ["atomic", "filtered", "ordered", "unique"]


def filtered(evidence: Evidence) -> Iterator[Violation]:
    """Filter: every event is of a key that was asked for."""
    for position, _, event in evidence.events:
        if not evidence.in_scope(event.raw_key):
            yield Violation(
                "filter", "no such key", told(event), event.revision, event.raw_key, position
            )


def ordered(evidence: Evidence) -> Iterator[Violation]:
    """Ordered: revisions never fall, and within one the keys come as its transaction has them.

    The order within a revision is asked of told events only: a snapshot, which synthetic ones are
    made from, does not know it.
    """
    for before, (position, _, event) in pairwise(evidence.events):
        last = before.event
        if event.revision < last.revision:
            yield Violation(
                "ordered",
                f"revision {last.revision} or later",
                told(event),
                event.revision,
                event.raw_key,
                position,
            )
        elif event.revision == last.revision and not (event.synthetic or last.synthetic):
            mine = evidence.history.ordinal(event.revision, event.raw_key)
            others = evidence.history.ordinal(last.revision, last.raw_key)
            if mine is not None and others is not None and mine < others:
                yield Violation(
                    "ordered",
                    f"it before key {quoted(last.raw_key)}, as the transaction has them",
                    "it behind",
                    event.revision,
                    event.raw_key,
                    position,
                )


def unique(evidence: Evidence) -> Iterator[Violation]:
    """Uniqueness: no key has two events of one revision, be they told or synthetic."""
    first: dict[tuple[int, bytes], int] = {}
    for position, _, event in evidence.events:
        place = (event.revision, event.raw_key)
        if first.setdefault(place, position) != position:
            yield Violation(
                "unique",
                f"it once, as record {first[place]}",
                f"{told(event)} again",
                event.revision,
                event.raw_key,
                position,
            )


def atomic(evidence: Evidence) -> Iterator[Violation]:
    """Atomic: of a transaction come all events that were asked for, or none, with nothing between.

    Between is an event of another revision, a gap, a completeness claim, or the end of a `Batch`.
    An event's repetition is not held against its transaction.
    """
    runs = _runs(evidence.events)
    pieces: dict[int, dict[int, Placed]] = {}
    came: dict[int, int] = {}
    for placed in evidence.first_told.values():
        revision = placed.event.revision
        pieces.setdefault(revision, {}).setdefault(runs[placed.position], placed)
        came[revision] = came.get(revision, 0) + 1
    for revision, firsts in pieces.items():
        for placed in list(firsts.values())[1:]:
            yield Violation(
                "atomic",
                "all of the transaction in one piece",
                "a part of it by itself",
                revision,
                placed.event.raw_key,
                placed.position,
            )
        due = evidence.due_between(revision, revision)
        if came[revision] < len(due):
            missing = next(event for event in due if not evidence.was_told(event))
            yield Violation(
                "atomic",
                f"all {plural(len(due), 'event')} of the transaction",
                f"{came[revision]}, without {told(missing)}",
                revision,
                missing.raw_key,
            )


def _runs(events: list[Placed]) -> dict[int, int]:
    """Give each position the number of its stretch: of one revision, with nothing between."""
    runs: dict[int, int] = {}
    number = 0
    last = None
    for position, part, event in events:
        number += last != (part, event.revision)
        last = (part, event.revision)
        runs[position] = number
    return runs
