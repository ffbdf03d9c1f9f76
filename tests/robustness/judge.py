"""Holding what everybody was told against what was committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etcd_watcher import Event, Gap
from etcd_watcher.journal import Record
from etcd_watcher.keys import KeyRange
from etcd_watcher.testing import History, Violation, check
from tests.robustness.audience import Audience, Listener
from tests.robustness.truth import Truth

__all__ = ["Findings", "gaps_of", "judge"]

Outage = tuple[float, float]
"""From when to when nobody could reach any member, by the monotonic clock."""

LOST = {"reliable", "resumable", "atomic"}


@dataclass
class Findings:
    """What an API's watchers did, counted, and what was wrong with it.

    Attributes
    ----------
    streams, delivered : int
        How many streams were held against the truth, and their events.
    synthetic : int
        How many of these were made by resyncs.
    lost, duplicated, disordered, wrong : int
        Violations: events that never came; came twice; came too late; all others.
    gaps, real_gaps : int
        Gaps that were declared, and those of them that end right before a compaction and begin
        behind what was told: that are what they say. On v2 it cannot be known where the server's
        history begins, so there a gap counts if something is lost in it.
    silence : float
        The longest time, in seconds, between a write that a recorder at a member had seen and its
        delivery to a subscriber that does not dawdle, less the time in which no member could be
        reached by it.
    unknowable : int
        Violations that were let pass, because nobody could know better; see `_unknowable`.
    faults : list of str
        Each thing that was wrong, in words.
    """

    streams: int = 0
    delivered: int = 0
    synthetic: int = 0
    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    wrong: int = 0
    unknowable: int = 0
    gaps: int = 0
    real_gaps: int = 0
    silence: float = 0.0
    writes: int = 0
    unanswered: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take another's counts in."""
        for name in self.__dataclass_fields__:
            if name == "silence":
                self.silence = max(self.silence, other.silence)
            elif name == "faults":
                self.faults += other.faults
            else:
                setattr(self, name, getattr(self, name) + getattr(other, name))


def judge(
    audience: Audience, truth: Truth, history: History, outages: Sequence[Outage] = ()
) -> Findings:
    """Check every stream of a watcher: its journal, and what each listener was told."""
    findings = Findings(faults=list(audience.troubles))
    feed_gaps = [each for each in audience.records if isinstance(each, Gap) and not each.subscriber]
    _judge_journal(audience, history, findings)
    for listener in audience.listeners:
        _judge_listener(listener, feed_gaps, history, findings)
        if listener.quick:
            findings.silence = max(findings.silence, _silence(listener, truth, outages))
    return findings


def _judge_journal(audience: Audience, history: History, findings: Findings) -> None:
    """The journal has everything that anybody asked for, so it is held to what all along did."""
    lasting = [each for each in audience.listeners if each.quick]
    if not lasting:
        return
    scope = {scope: each.begun + 1 for each in lasting for scope in each.scope}
    covered = [
        each
        for each in audience.records
        if not (isinstance(each, Gap) and each.subscriber)
        and not (isinstance(each, Event) and not _within(each, scope, history.last))
    ]
    since = min(scope.values())
    name = f"{audience.name}/journal"
    violations = check(covered, history, scope=scope, since=since, until=history.last)
    _count(findings, name, covered, (), violations)


def _within(event: Event, scope: Mapping[KeyRange, int], last: int) -> bool:
    return event.revision <= last and any(
        event.raw_key in each and event.revision >= start for each, start in scope.items()
    )


def _judge_listener(
    listener: Listener, feed_gaps: list[Gap], history: History, findings: Findings
) -> None:
    if listener.start is None:
        return
    # A lease may still end after the last revision that is judged.
    told = [event for _, event in listener.told if event.revision <= history.last]
    since = _begins(listener, told, findings)
    if any(each.last == since - 1 for each in feed_gaps):
        told = _behind_a_gap(told, since, history, findings)
    gaps = gaps_of(listener, feed_gaps, since)
    until = None if listener.until is None else min(listener.until, history.last)
    violations = check(told, history, scope=listener.scope, since=since, until=until, gaps=gaps)
    if until is None:  # it may have left in the middle of a resync
        violations = [each for each in violations if (each.name, each.came) != ("gaps", "nothing")]
    begun_earlier = [each for each in feed_gaps if each.first < since <= each.last]
    known = [each for each in violations if not _unknowable(each, begun_earlier, since, history)]
    findings.unknowable += len(violations) - len(known)
    _count(findings, listener.name, told, gaps, known)


def _begins(listener: Listener, told: list[Event], findings: Findings) -> int:
    """Give the revision from which on a listener has to be told everything."""
    first = (listener.start or 0) + 1
    if told and told[0].revision < first:
        findings.wrong += 1
        findings.faults.append(f"{listener.name}: subscribed behind {first - 1}: {told[0]}")
    if (told[:1] and told[0].synthetic) or listener.gaps:
        return first
    return max(first, min([listener.begun + 1, *(each.revision for each in told[:1])]))


def _behind_a_gap(
    told: list[Event], since: int, history: History, findings: Findings
) -> list[Event]:
    """Take synthetic events of the very revision with which a listener begins for told ones.

    It began where a gap ends, so there is no gap for it: they are the changes of that revision, and
    deletions of keys that went in the gap, or before it began.
    """
    found = []
    for event in told:
        if event.synthetic and event.revision == since:
            if history.ordinal(since, event.raw_key) is None:
                findings.unknowable += 1
                continue
            event = event._replace(synthetic=False)  # noqa: PLW2901 - the same, taken otherwise
        found.append(event)
    return found


def _unknowable(
    violation: Violation, begun_earlier: list[Gap], since: int, history: History
) -> bool:
    """Tell whether nobody could know better.

    Somebody subscribed to a key that others had, while the feed was behind a gap. A key that came
    in that gap, before the subscription, and went in it, is known to nobody; of one that went in it
    nobody knows whether that was before the subscription.
    """
    key = violation.raw_key
    return (
        violation.name == "gaps"
        and key is not None
        and any(
            history.at(key, gap.last + 1) is None
            and any(each.raw_key == key for each in history.between(gap.first, since - 1))
            for gap in begun_earlier
        )
    )


def gaps_of(listener: Listener, feed_gaps: list[Gap], since: int) -> list[Gap]:
    """Give the gaps that a listener has to know of: its own, and those of the feed meanwhile."""
    own = listener.gaps
    end = max([event.revision for _, event in listener.told], default=0)
    end = max(end, listener.until or 0)
    shared = [
        Gap(_first(listener, each, since), each.last, each.reason)
        for each in feed_gaps
        if each.last >= since and each.first <= end and not any(_in(each, mine) for mine in own)
    ]
    shared = [each for each in shared if each.first <= each.last]
    return [*(each for each in own if not any(_in(each, other) for other in shared)), *shared]


def _first(listener: Listener, gap: Gap, since: int) -> int:
    """Give where a gap of the feed begins for a listener.

    One who came while the feed was behind, and asked for the past, read for itself up to when it
    came: farther than the feed, which may never get there. It is held to all that lies before.
    """
    read = [
        event.revision
        for _, event in listener.told
        if listener.past and not event.synthetic and gap.first <= event.revision <= gap.last
    ]
    return max(gap.first, since, *(each + 1 for each in read))


def _in(one: Gap, other: Gap) -> bool:
    return other.first <= one.first and one.last <= other.last


def _count(
    findings: Findings,
    name: str,
    stream: Sequence[Record],
    gaps: Sequence[Gap],
    violations: list[Violation],
) -> None:
    events = [each for each in stream if isinstance(each, Event)]
    declared = [*gaps, *(each for each in stream if isinstance(each, Gap))]
    findings.streams += 1
    findings.delivered += len(events)
    findings.synthetic += sum(each.synthetic for each in events)
    findings.gaps += len(declared)
    false = {
        each.revision for each in violations if each.name == "gaps" and "gap from" in each.came
    }
    findings.real_gaps += sum(each.first not in false for each in declared)
    _sort(findings, name, violations)


def _sort(findings: Findings, name: str, violations: list[Violation]) -> None:
    # An event that is missing breaks several properties; it is lost once.
    missing = {(each.revision, each.raw_key) for each in violations if each.name in LOST}
    kinds = Counter(each.name for each in violations if each.name not in LOST)
    findings.lost += len(missing)
    findings.duplicated += kinds.pop("unique", 0)
    findings.disordered += kinds.pop("ordered", 0)
    findings.wrong += sum(kinds.values())
    findings.faults += [f"{name}: {each}" for each in violations]


def _silence(listener: Listener, truth: Truth, outages: Sequence[Outage]) -> float:
    """Give the longest time that a committed write waited for its delivery."""
    longest = 0.0
    for when, event in listener.told:
        if not event.synthetic and truth.has(event.revision):
            seen = truth.seen(event.revision)
            if when - seen > longest:
                out = sum(max(0.0, min(when, end) - max(seen, start)) for start, end in outages)
                longest = max(longest, when - seen - out)
    return longest
