"""Gaps: real, exact, and followed by the truth."""

from __future__ import annotations

from collections.abc import Iterator

from etcd_watcher.event import Event
from etcd_watcher.testing.evidence import Evidence
from etcd_watcher.testing.resyncs import Expected, Resync, faults
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
    for resync in evidence.resyncs:
        yield from _misplaced(evidence, resync)
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


def _misplaced(evidence: Evidence, resync: Resync) -> Iterator[Violation]:
    gap = resync.gap
    if gap.first > gap.last:
        yield _wrong(resync, "a first revision that is not behind the last")
    if evidence.asked is not None and gap.first < evidence.begins:
        yield _wrong(resync, f"nothing before revision {evidence.begins}")
    if gap.last > evidence.history.last:
        yield _wrong(
            resync, f"nothing behind revision {evidence.history.last}, the newest there is"
        )
    for earlier in evidence.resyncs:
        if earlier.position < resync.position and earlier.gap.last >= gap.first:
            yield _wrong(
                resync, f"nothing of the gap from {earlier.gap.first} to {earlier.gap.last} again"
            )
    for position, _, event in evidence.first_tellings():
        before = position < resync.position
        if (before and event.revision >= gap.first) or (not before and event.revision <= gap.last):
            here = f"{quoted(event.raw_key)} of revision {event.revision} as record {position}"
            yield _wrong(resync, f"nothing that {'was' if before else 'is yet to be'} told: {here}")
            return


def _unreal(evidence: Evidence, resync: Resync) -> Iterator[Violation]:
    gap, compactions = resync.gap, evidence.history.compactions
    if compactions is not None:
        if gap.last + 1 not in compactions:
            ends = ", ".join(map(str, sorted(compactions))) or "there was none"
            yield _wrong(resync, f"an end right before a compaction ({ends})")
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
