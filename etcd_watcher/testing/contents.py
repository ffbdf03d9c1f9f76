"""What the events say: values, lives, and the values before."""

from __future__ import annotations

from collections.abc import Iterator

from etcd_watcher.event import Event, EventType
from etcd_watcher.testing.evidence import Evidence
from etcd_watcher.testing.resyncs import Placed
from etcd_watcher.testing.violation import Violation, different, quoted, told

__all__ = ["genuine", "is_create", "previous_value"]


def genuine(evidence: Evidence) -> Iterator[Violation]:
    """Genuine: every told event is a change that was committed, with its type and its value.

    Synthetic events are measured against the state they lead to, by `gaps`. Leases and v2's words
    (`action`, `expired`) are not compared: who writes a history down need not know them.
    """
    for position, _, event in evidence.told:
        if not evidence.in_scope(event.raw_key):
            continue  # the filter's business
        true = _true(evidence, event)
        if true is None:
            expected, came = "no change of this key", told(event)
        elif (event.type, event.raw_value) != (true.type, true.raw_value):
            expected = told(true)
            came = told(event) + different(true.raw_value, event.raw_value)
        else:
            continue
        yield Violation("genuine", expected, came, event.revision, event.raw_key, position)


def is_create(evidence: Evidence) -> Iterator[Violation]:
    """Is-create: `created` equals `revision`, and `version` is 1, exactly where a life begins.

    Further on `created` stays and `version` counts the puts of this life (0 where the server does
    not count, v2). A deletion has version 0, and its `created` is 0 (v3) or that of the life that
    it ends (v2).
    """
    for position, _, event in evidence.told:
        true = _true(evidence, event)
        if true is None or event.type is not true.type:
            continue  # no such change: another validator's business
        lives = {true.created}
        if true.type is EventType.DELETE:
            before = evidence.history.at(event.raw_key, event.revision - 1)
            lives |= set() if before is None else {before.created}
        if event.created not in lives or event.version != true.version:
            created = " or ".join(map(str, sorted(lives)))
            yield Violation(
                "is-create",
                f"created {created}, version {true.version}",
                f"created {event.created}, version {event.version}",
                event.revision,
                event.raw_key,
                position,
            )


def previous_value(evidence: Evidence) -> Iterator[Violation]:
    """Previous value: where an event gives the value before, that is what the key had.

    For a synthetic event it may also be what the key had when its gap began. An event may always
    leave it out: a server that was compacted does not know it.
    """
    for position, _, event in evidence.told:
        true = _true(evidence, event)
        if true is not None and event.raw_prev_value not in {None, true.raw_prev_value}:
            yield _wrong_previous(event, true.raw_prev_value, position)
    for resync in evidence.resyncs:
        for placed in resync.made:
            yield from _wrong_synthetic(evidence, placed, resync.gap.first - 1)


def _wrong_synthetic(evidence: Evidence, placed: Placed, base: int) -> Iterator[Violation]:
    event = placed.event
    if event.raw_prev_value is None or not evidence.in_scope(event.raw_key):
        return
    states = [evidence.history.at(event.raw_key, each) for each in (event.revision - 1, base)]
    values = [None if each is None else each.raw_value for each in states]
    if event.raw_prev_value not in values:
        yield _wrong_previous(event, values[0], placed.position)


def _wrong_previous(event: Event, expected: bytes | None, position: int) -> Violation:
    came = event.raw_prev_value
    return Violation(
        "previous-value",
        "no value before" if expected is None else f"{quoted(expected)} before",
        f"{quoted(came or b'')}{different(expected, came)}",
        event.revision,
        event.raw_key,
        position,
    )


def _true(evidence: Evidence, event: Event) -> Event | None:
    ordinal = evidence.history.ordinal(event.revision, event.raw_key)
    return None if ordinal is None else evidence.history[ordinal]
