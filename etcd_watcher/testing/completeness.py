"""What is missing: at the beginning, in between, and where a stream claims to be complete."""

from __future__ import annotations

from collections.abc import Iterator

from etcd_watcher.event import Event
from etcd_watcher.table import plural
from etcd_watcher.testing.evidence import Evidence
from etcd_watcher.testing.resyncs import Resync
from etcd_watcher.testing.violation import Violation, quoted, told

__all__ = ["bookmarkable", "reliable", "resumable"]


def resumable(evidence: Evidence) -> Iterator[Violation]:
    """Resumable: a stream begins at the revision that was asked for.

    Nothing comes from before it, and what comes first is the first change that was due, or a gap
    that covers it. Not asked of a stream that began wherever it did (`since=None`).
    """
    if evidence.asked is None:
        return
    for position, _, event in evidence.events:
        start = evidence.start_of(event.raw_key)
        if start is not None and event.revision < start:
            yield Violation(
                "resumable",
                f"nothing before revision {start}",
                told(event),
                event.revision,
                event.raw_key,
                position,
            )
    if not evidence.due:
        return
    first_due = evidence.history[evidence.due[0]]
    tellings = min(evidence.first_told.items(), key=lambda item: item[1].position, default=None)
    gap = evidence.resyncs[0] if evidence.resyncs else None
    if gap is not None and (tellings is None or gap.position <= tellings[1].position):
        if first_due.revision < gap.gap.first:
            yield _begins_late(first_due, f"a gap from revision {gap.gap.first} on", gap.position)
    elif tellings is not None and tellings[0] != evidence.due[0]:
        ordinal, (position, _, event) = tellings
        skipped = sum(1 for each in evidence.due if each < ordinal)
        came = f"key {quoted(event.raw_key)} at revision {event.revision}"
        yield _begins_late(first_due, f"{came}, past {plural(skipped, 'event')}", position)


def _begins_late(due: Event, came: str, position: int) -> Violation:
    expected = f"{told(due)} first"
    return Violation("resumable", expected, came, due.revision, due.raw_key, position)


def reliable(evidence: Evidence) -> Iterator[Violation]:
    """Reliable: nothing is missing between the first and the last event, but for declared gaps.

    A gap counts as an event at each end: what comes before it has been told, and what it covers
    has been accounted for. With `until` nothing may be missing up to that revision either.
    """
    due, told_ones, history = evidence.due, evidence.first_told, evidence.history
    firsts = [history[min(told_ones)].revision] if told_ones else []
    firsts += [each.gap.first for each in evidence.resyncs]
    # Within the first revision and the last an event is only between others by its ordinal.
    first = min(told_ones, default=len(history))
    last = max(told_ones, default=-1)
    first_revision = min(firsts, default=0)
    last_revision = max((each.gap.last for each in evidence.resyncs), default=0)
    last_revision = max(last_revision, evidence.until or 0)
    for ordinal in due:
        event = history[ordinal]
        begun = event.revision > first_revision or ordinal >= first
        over = ordinal > last and event.revision > last_revision
        if begun and not over and ordinal not in told_ones and not _stands_for(evidence, event):
            yield Violation("reliable", told(event), "nothing", event.revision, event.raw_key)


def _stands_for(evidence: Evidence, event: Event) -> bool:
    return any(resync.covers(event.revision) for resync in evidence.resyncs)


def bookmarkable(evidence: Evidence) -> Iterator[Violation]:
    """Bookmarkable: a claim to be complete up to a revision comes only once all up to it came.

    Nor does a claim fall behind an earlier one, or behind what was told before it: who resumes
    behind the last claim would be told again.
    What a gap covers counts as come once the gap is declared and its synthetic events are through.
    A change is blamed on the first claim that it proves wrong, not on those behind it.
    """
    yield from _falling_claims(evidence)
    due, told_ones, history = evidence.due, evidence.first_told, evidence.history
    proved = 0
    blamed: set[int] = set()
    """Positions of gaps whose synthetic events came behind a claim that was reported."""
    for position, revision in evidence.claims:
        if revision > history.last:
            yield _false_claim(
                position, revision, f"no claim behind revision {history.last}, the newest there is"
            )
        declared = [each for each in evidence.resyncs if each.position <= position]
        late: list[int] = []
        while proved < len(due) and history[due[proved]].revision <= revision:
            ordinal = due[proved]
            telling = told_ones.get(ordinal)
            came = telling is not None and telling.position < position
            if not came and not any(each.covers(history[ordinal].revision) for each in declared):
                late.append(ordinal)
            proved += 1
        if late:
            event = history[late[0]]
            yield _false_claim(
                position,
                revision,
                f"{plural(len(late), 'event')} before it, first {told(event)} of "
                f"key {quoted(event.raw_key)} at revision {event.revision}",
            )
        for resync in declared:
            if _still_open(resync, position, revision) and resync.position not in blamed:
                blamed.add(resync.position)
                yield _false_claim(
                    position,
                    revision,
                    f"before it all synthetic events of the gap from revision {resync.gap.first} "
                    f"to {resync.gap.last}",
                )


def _falling_claims(evidence: Evidence) -> Iterator[Violation]:
    told = iter(evidence.told)
    following = next(told, None)
    newest, by = 0, ""
    for position, revision in evidence.claims:
        while following is not None and following.position < position:
            event = following.event
            if event.revision > newest:
                newest, by = event.revision, f"key {quoted(event.raw_key)} of it was told"
            following = next(told, None)
        if revision < newest:
            expected = f"revision {newest} or later, since {by} before"
            yield _false_claim(position, revision, expected)
        if revision > newest:
            newest, by = revision, "that was claimed"


def _still_open(resync: Resync, position: int, revision: int) -> bool:
    return resync.gap.first <= revision and resync.end > position


def _false_claim(position: int, revision: int, expected: str) -> Violation:
    came = f"the claim that all came up to revision {revision}"
    return Violation("bookmarkable", expected, came, revision, None, position)
