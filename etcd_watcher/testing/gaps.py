"""Gaps: real, exact, and followed by the truth."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate

from etcd_watcher.event import Event
from etcd_watcher.table import one_line
from etcd_watcher.testing.evidence import Evidence
from etcd_watcher.testing.resyncs import Expected, Placed, Resync, faults
from etcd_watcher.testing.violation import Violation, quoted, told

__all__ = ["gaps"]


def gaps(evidence: Evidence) -> Iterator[Violation]:
    """Gaps: each is real and exact, and what follows it brings every key to its true value.

    Real: something that was asked for is not told for it; or, where the history knows of the
    server's compactions, it ends right before one of them. Exact: it begins behind everything that
    came before it and ends before everything that is told behind it, with nothing of it told
    elsewhere. Followed by the truth: right behind it stands one synthetic event for each key that
    was asked for and is another than when the gap began, with the value, revision, life and version
    that it has right behind the gap; a deletion bears any revision from the true one on. Synthetic
    events stand nowhere else.

    "Right behind the gap" is its last revision and one, since a server that was compacted at a
    revision still knows every key's value there, but no longer every change. Where no compaction
    there is known, the gap's own last revision will do too.

    A loss that no gap declares is found by `reliable`.
    """
    around = _Around(evidence)
    for number, resync in enumerate(evidence.resyncs):
        yield from _misplaced(evidence, resync, around)
        yield from _repeated(resync, evidence.resyncs[:number])
        yield from _unreal(evidence, resync)
        yield from _untrue(evidence, resync)
    for position, _, event in evidence.strays:
        if evidence.in_scope(event.raw_key):
            yield Violation(
                "gaps",
                "synthetic events right behind a gap only",
                told(event),
                event.revision,
                event.raw_key,
                position,
            )


def _misplaced(evidence: Evidence, resync: Resync, around: _Around) -> Iterator[Violation]:
    gap = resync.gap
    if gap.first > gap.last:
        yield _wrong(resync, "a first revision that is not behind the last")
    if evidence.asked is not None and gap.first < evidence.begins:
        yield _wrong(resync, f"nothing before revision {evidence.begins}")
    if gap.last > evidence.history.last:
        yield _wrong(
            resync, f"nothing behind revision {evidence.history.last}, the newest there is"
        )
    before, behind = around.of(resync.position)
    if before is not None and before.event.revision >= gap.first:
        yield _wrong(resync, f"nothing that was told: {_where(before)}")
    if behind is not None and behind.event.revision <= gap.last:
        yield _wrong(resync, f"nothing that is yet to be told: {_where(behind)}")


def _repeated(resync: Resync, before: list[Resync]) -> Iterator[Violation]:
    for earlier in before:
        if earlier.gap.last >= resync.gap.first:
            yield _wrong(resync, f"nothing of {_named(earlier)} again")


class _Around:
    """The newest event before a place in the stream, and the oldest that is told behind it.

    Looked up once for all places, so that a long stream with many gaps is not read for each.
    """

    def __init__(self, evidence: Evidence) -> None:
        events = [each for each in evidence.events if evidence.in_scope(each.event.raw_key)]
        self._places = [each.position for each in events]
        self._newest = list(accumulate(events, _newer))
        # An old event told again behind the gap is no news of the gap: `unique` sees it.
        firsts = evidence.first_tellings()[::-1]
        self._places_told = [-each.position for each in firsts]
        self._oldest = list(accumulate(firsts, _older))

    def of(self, position: int) -> tuple[Placed | None, Placed | None]:
        before = bisect_left(self._places, position)
        behind = bisect_right(self._places_told, -position)
        return (
            self._newest[before - 1] if before else None,
            self._oldest[behind - 1] if behind else None,
        )


def _newer(one: Placed, other: Placed) -> Placed:
    return other if other.event.revision > one.event.revision else one


def _older(one: Placed, other: Placed) -> Placed:
    return other if other.event.revision <= one.event.revision else one


def _where(placed: Placed) -> str:
    key, revision = quoted(placed.event.raw_key), placed.event.revision
    return f"{key} of revision {revision} as record {placed.position}"


def _unreal(evidence: Evidence, resync: Resync) -> Iterator[Violation]:
    gap, compactions = resync.gap, evidence.history.compactions
    if compactions is not None:
        if gap.last + 1 not in compactions:
            ends = ", ".join(map(str, sorted(compactions))) or "there was none"
            yield _wrong(resync, f"an end right before a compaction ({one_line(ends)})")
    elif all(map(evidence.was_told, evidence.due_between(gap.first, resync.at))):
        yield _wrong(resync, "a gap only where something is lost")


def _untrue(evidence: Evidence, resync: Resync) -> Iterator[Violation]:
    for key, expected, came in faults(resync, evidence):
        yield Violation(
            "gaps",
            f"nothing of it behind {_named(resync)}" if expected is None else _wanted(expected),
            "nothing" if came is None else _said(came.event),
            resync.at if came is None else came.event.revision,
            key,
            None if came is None else came.position,
        )


def _wanted(expected: Expected) -> str:
    now = expected.value
    if now is None:
        return f"a synthetic DELETE of revision {expected.gone_since} or later"
    return (
        f"synthetic PUT {quoted(now.raw_value)} of revision {now.revision}, "
        f"created {now.created}, version {now.version}"
    )


def _said(event: Event) -> str:
    return (
        f"{told(event)} of revision {event.revision}, "
        f"created {event.created}, version {event.version}"
    )


def _named(resync: Resync) -> str:
    return f"the gap from revision {resync.gap.first} to {resync.gap.last}"


def _wrong(resync: Resync, expected: str) -> Violation:
    return Violation("gaps", expected, _named(resync), resync.gap.first, position=resync.position)
