"""Each property by a stream that breaks it, and what is then said of it."""

from __future__ import annotations

import pytest

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.stores.base import Batch
from etcd_watcher.testing import Complete, History, check
from tests.testing.faults import altered, event_at, inserted, replaced
from tests.testing.worlds import OURS, Commits, Stream, World, event

COMMITS: Commits = [
    (2, [(b"k/a", b"1")]),
    (3, [(b"k/a", b"2"), (b"k/b", b"1")]),
    (4, [(b"other", b"1")]),
    (5, [(b"k/b", None)]),
    (6, [(b"k/b", b"2")]),
    (7, [(b"k/c", b"1"), (b"k/b", b"3"), (b"k/a", None)]),
    (8, [(b"k/c", b"2")]),
]
PLAIN = World(COMMITS, since=3)
# Told: 3 a, 3 b, 5 b, 6 b, 7 c, 7 b, 7 a, 8 c, as records 0 to 7.

GAPPED = World(COMMITS, since=2, compactions=[(5, 7)])
# Told: 2 a, 3 a, 3 b; the gap, of 5 and 6, as record 3; made: 7 b, 7 c (as a snapshot has them),
# and the deletion of a; told: 8 c, as record 7.


def found(world: World, stream: Stream) -> list[str]:
    violations = check(stream, world.history, scope=OURS, since=world.since, until=world.last)
    return [str(each) for each in violations]


@pytest.mark.parametrize("world", [PLAIN, GAPPED])
def test_of_the_honest_stream_there_is_nothing_to_say(world: World) -> None:
    assert len(world.stream()) == 8
    assert found(world, world.stream()) == []


def test_statuses_are_passed_over() -> None:
    stream = [Status("connected"), *PLAIN.stream()[:1], Status("reconnecting"), *PLAIN.stream()[1:]]
    assert check(stream, PLAIN.history, scope=OURS, since=3, until=8) == []


def test_filter() -> None:
    stream = inserted(PLAIN.stream(), 2, event(b"other", b"1", 4, None, 4, 1))
    assert found(PLAIN, stream) == [
        "filter: revision 4, key 'other', record 2: expected no such key; came PUT '1'"
    ]


def test_ordered_between_revisions() -> None:
    stream = PLAIN.stream()
    stream[2:4] = reversed(stream[2:4])
    assert found(PLAIN, stream) == [
        "ordered: revision 5, key 'k/b', record 3: expected revision 6 or later; came DELETE"
    ]


def test_ordered_within_a_revision() -> None:
    stream = PLAIN.stream()
    stream[4:6] = reversed(stream[4:6])
    assert found(PLAIN, stream) == [
        (
            "ordered: revision 7, key 'k/c', record 5: "
            "expected it before key 'k/b', as the transaction has them; came it behind"
        )
    ]


def test_unique() -> None:
    stream = inserted(PLAIN.stream(), 3, PLAIN.stream()[2])
    assert found(PLAIN, stream) == [
        "unique: revision 5, key 'k/b', record 3: expected it once, as record 2; came DELETE again"
    ]


def test_unique_among_synthetic_events() -> None:
    stream = inserted(GAPPED.stream(), 4, GAPPED.stream()[4])
    assert [each.split(":")[0] for each in found(GAPPED, stream)] == ["unique"]


def test_atomic_in_one_piece() -> None:
    stream = inserted(PLAIN.stream(), 5, Batch(OURS))
    assert found(PLAIN, stream) == [
        (
            "atomic: revision 7, key 'k/b', record 5: "
            "expected all of the transaction in one piece; came a part of it by itself"
        )
    ]


def test_atomic_over_batches() -> None:
    events = [event_at(PLAIN.stream(), place) for place in range(8)]
    whole = [Batch(OURS, events[:4]), Batch(OURS, events[4:7]), Batch(OURS, events[7:], 8)]
    assert check(whole, PLAIN.history, scope=OURS, since=3, until=8) == []
    torn = [Batch(OURS, events[:4]), Batch(OURS, events[4:6]), Batch(OURS, events[6:], 8)]
    (violation,) = check(torn, PLAIN.history, scope=OURS, since=3, until=8)
    assert (violation.name, violation.raw_key, violation.position) == ("atomic", b"k/a", 6)


def test_atomic_and_reliable_when_a_part_is_missing() -> None:
    stream = replaced(PLAIN.stream(), 5)
    assert found(PLAIN, stream) == [
        (
            "atomic: revision 7, key 'k/b': "
            "expected all 3 events of the transaction; came 2, without PUT '3'"
        ),
        "reliable: revision 7, key 'k/b': expected PUT '3'; came nothing",
    ]


def test_resumable_when_it_begins_late() -> None:
    assert found(PLAIN, PLAIN.stream()[2:]) == [
        (
            "resumable: revision 3, key 'k/a', record 0: "
            "expected PUT '2' first; came key 'k/b' at revision 5, past 2 events"
        )
    ]


def test_resumable_when_it_begins_before() -> None:
    early = event(b"k/a", b"1", 2, None, 2, 1)
    assert found(PLAIN, [early, *PLAIN.stream()]) == [
        (
            "resumable: revision 2, key 'k/a', record 0: expected nothing before revision 3; "
            "came PUT '1'"
        )
    ]


def test_resumable_when_it_begins_with_a_gap_that_begins_late() -> None:
    world = World(COMMITS, since=2, compactions=[(2, 4)])
    stream = replaced(world.stream(), 0, Gap(3, 3, ""))
    assert found(world, stream) == [
        (
            "resumable: revision 2, key 'k/a', record 0: "
            "expected PUT '1' first; came a gap from revision 3 on"
        )
    ]


def test_reliable() -> None:
    stream = replaced(PLAIN.stream(), 2)
    assert found(PLAIN, stream) == [
        "reliable: revision 5, key 'k/b': expected DELETE; came nothing"
    ]


def test_reliable_within_the_first_revision_that_came() -> None:
    stream = replaced(PLAIN.stream(), 5)[4:]
    violations = check(stream, PLAIN.history, scope=OURS, since=None)
    assert [(each.name, each.raw_key) for each in violations] == [
        ("atomic", b"k/b"),
        ("reliable", b"k/b"),
    ]
    violations = check(stream[1:], PLAIN.history, scope=OURS, since=None)
    assert [(each.name, each.raw_key) for each in violations] == [("atomic", b"k/c")]


def test_reliable_before_a_gap() -> None:
    """That a gap begins at revision 5 says that all before it has been told."""
    stream = [*GAPPED.stream()[:1], *GAPPED.stream()[3:]]
    assert found(GAPPED, stream) == [
        "reliable: revision 3, key 'k/a': expected PUT '2'; came nothing",
        "reliable: revision 3, key 'k/b': expected PUT '1'; came nothing",
    ]


def test_reliable_up_to_where_it_must_have_come() -> None:
    stream = PLAIN.stream()[:-1]
    assert check(stream, PLAIN.history, scope=OURS, since=3) == []
    assert found(PLAIN, stream) == [
        "reliable: revision 8, key 'k/c': expected PUT '2'; came nothing"
    ]
    assert len(found(PLAIN, [])) == 8


def test_bookmarkable_before_an_event() -> None:
    stream = inserted(PLAIN.stream(), 2, Complete(6))
    assert found(PLAIN, stream) == [
        (
            "bookmarkable: revision 6, record 2: expected 2 events before it, first DELETE of "
            "key 'k/b' at revision 5; came the claim that all came up to revision 6"
        )
    ]


def test_bookmarkable_names_the_first_claim_only() -> None:
    stream = [*PLAIN.stream()[:2], Complete(5), Complete(5), *PLAIN.stream()[2:], Complete(8)]
    assert len(found(PLAIN, stream)) == 1


def test_a_claim_may_say_less_than_could_be_claimed() -> None:
    stream = PLAIN.stream()
    assert found(PLAIN, [Complete(1), Complete(1), *stream[:3], Complete(5), *stream[3:]]) == []


def test_a_claim_may_not_fall_behind_an_earlier_one() -> None:
    assert found(PLAIN, [*PLAIN.stream(), Complete(8), Complete(4)]) == [
        (
            "bookmarkable: revision 4, record 9: expected revision 8 or later, since key 'k/c' of "
            "it was told before; came the claim that all came up to revision 4"
        )
    ]
    assert found(PLAIN, [Complete(2), Complete(1), *PLAIN.stream()]) == [
        (
            "bookmarkable: revision 1, record 1: expected revision 2 or later, since that was "
            "claimed before; came the claim that all came up to revision 1"
        )
    ]


def test_bookmarkable_within_a_gap() -> None:
    stream = inserted(GAPPED.stream(), 5, Complete(6))
    assert found(GAPPED, stream) == [
        (
            "bookmarkable: revision 6, record 5: expected before it all synthetic events of the gap "
            "from revision 5 to 6; came the claim that all came up to revision 6"
        )
    ]
    assert len(found(GAPPED, inserted(GAPPED.stream(), 5, Complete(5)))) == 1
    assert found(GAPPED, inserted(GAPPED.stream(), 5, Complete(4))) == []
    assert found(GAPPED, inserted(GAPPED.stream(), 7, Complete(7))) == []


def test_bookmarkable_behind_all_that_there_is() -> None:
    assert found(PLAIN, [*PLAIN.stream(), Complete(9)]) == [
        (
            "bookmarkable: revision 9, record 8: expected no claim behind revision 8, the newest "
            "there is; came the claim that all came up to revision 9"
        )
    ]


def test_genuine() -> None:
    assert found(PLAIN, altered(PLAIN.stream(), 3, raw_value=b"3")) == [
        "genuine: revision 6, key 'k/b', record 3: expected PUT '2'; came PUT '3'"
    ]
    made_up = inserted(PLAIN.stream(), 3, event(b"k/c", b"0", 5, None, 5, 1))
    assert found(PLAIN, made_up) == [
        "genuine: revision 5, key 'k/c', record 3: expected no change of this key; came PUT '0'"
    ]


def test_is_create_of_an_update() -> None:
    assert found(PLAIN, altered(PLAIN.stream(), 0, created=3, version=1)) == [
        (
            "is-create: revision 3, key 'k/a', record 0: "
            "expected created 2, version 2; came created 3, version 1"
        )
    ]


def test_is_create_of_a_key_that_came_again() -> None:
    assert found(PLAIN, altered(PLAIN.stream(), 3, created=3, version=2)) == [
        (
            "is-create: revision 6, key 'k/b', record 3: "
            "expected created 6, version 1; came created 3, version 2"
        )
    ]


def test_is_create_of_a_deletion() -> None:
    """v3 says nothing of the life that ends, v2 when it began."""
    assert found(PLAIN, altered(PLAIN.stream(), 2, created=3)) == []
    assert found(PLAIN, altered(PLAIN.stream(), 2, created=5)) == [
        (
            "is-create: revision 5, key 'k/b', record 2: "
            "expected created 0 or 3, version 0; came created 5, version 0"
        )
    ]


def test_previous_value() -> None:
    assert found(PLAIN, altered(PLAIN.stream(), 0, raw_prev_value=None)) == []
    assert found(PLAIN, altered(PLAIN.stream(), 0, raw_prev_value=b"2")) == [
        "previous-value: revision 3, key 'k/a', record 0: expected '1' before; came '2'"
    ]
    assert found(PLAIN, altered(PLAIN.stream(), 1, raw_prev_value=b"")) == [
        "previous-value: revision 3, key 'k/b', record 1: expected no value before; came ''"
    ]


def test_previous_value_of_a_synthetic_event() -> None:
    """The one that the reader knew, or the one that the server did."""
    for value in (None, b"1", b"2"):
        assert found(GAPPED, altered(GAPPED.stream(), 4, raw_prev_value=value)) == []
    assert found(GAPPED, altered(GAPPED.stream(), 4, raw_prev_value=b"3")) == [
        "previous-value: revision 7, key 'k/b', record 4: expected '2' before; came '3'"
    ]


def test_gaps_with_the_wrong_value_behind() -> None:
    assert found(GAPPED, altered(GAPPED.stream(), 4, raw_value=b"2")) == [
        (
            "gaps: revision 7, key 'k/b', record 4: "
            "expected synthetic PUT '3' of revision 7, created 6, version 2; "
            "came synthetic PUT '2' of revision 7, created 6, version 2"
        )
    ]


def test_gaps_without_a_deletion() -> None:
    assert found(GAPPED, replaced(GAPPED.stream(), 6)) == [
        (
            "gaps: revision 7, key 'k/a': "
            "expected a synthetic DELETE of revision 7 or later; came nothing"
        )
    ]


def test_gaps_with_too_much_behind() -> None:
    extra = event(b"k/z", b"1", 7, None, 7, 1, synthetic=True)
    assert found(GAPPED, inserted(GAPPED.stream(), 7, extra)) == [
        (
            "gaps: revision 7, key 'k/z', record 7: expected nothing of it behind the gap from "
            "revision 5 to 6; came synthetic PUT '1' of revision 7, created 7, version 1"
        )
    ]


def test_gaps_of_what_is_told() -> None:
    assert found(PLAIN, inserted(PLAIN.stream(), 4, Gap(6, 6, ""))) == [
        (
            "gaps: revision 6, record 4: expected nothing that was told: 'k/b' of revision 6 as "
            "record 3; came the gap from revision 6 to 6"
        ),
        (
            "gaps: revision 6, record 4: expected an end right before a compaction (there was none); "
            "came the gap from revision 6 to 6"
        ),
    ]


def test_gaps_that_end_where_no_compaction_was() -> None:
    world = World(COMMITS, since=2, compactions=[(5, 8)])
    said = found(GAPPED, world.stream())
    assert said == [
        (
            "gaps: revision 5, record 3: expected an end right before a compaction (7); "
            "came the gap from revision 5 to 7"
        )
    ]


@pytest.mark.parametrize(
    "wrong", [{"revision": 6}, {"revision": 8}, {"created": 7}, {"version": 1}, {"raw_value": b""}]
)
def test_gaps_with_a_deletion_that_is_not_true(wrong: dict[str, object]) -> None:
    violations = found(GAPPED, altered(GAPPED.stream(), 6, **wrong))
    assert any(
        each.startswith("gaps") and "expected a synthetic DELETE" in each for each in violations
    )


def test_gaps_that_lead_to_another_revision_than_the_compaction() -> None:
    world = World(COMMITS, since=2, compactions=[(5, 6)])
    stream = world.stream()
    (place,) = (place for place, each in enumerate(stream) if isinstance(each, Gap))
    early = [each for each in replaced(stream, place, Gap(5, 6, "")) if not told_at(each, 7)]
    assert {each.split(":")[0] for each in found(GAPPED, early)} == {"gaps"}


def told_at(record: object, revision: int) -> bool:
    return isinstance(record, Event) and record.revision == revision


def test_gaps_up_to_the_end_of_what_is_known() -> None:
    history = History.from_events(GAPPED.events)
    stream = World(COMMITS, since=2, compactions=[(8, 8)]).stream()
    gap = Gap(8, 8, "")
    stream = [gap if isinstance(each, Gap) else each for each in stream]
    assert check(stream, history, scope=OURS, since=2, until=8) == []


def test_gaps_are_not_blamed_for_what_others_see() -> None:
    foreign = event(b"foreign", b"1", 7, synthetic=True)
    assert names(GAPPED, inserted(GAPPED.stream(), 7, foreign)) == {"filter"}
    old = event(b"foreign", b"1", 5)
    assert names(GAPPED, inserted(GAPPED.stream(), 7, old)) == {"filter", "ordered"}
    again = GAPPED.stream()[0]
    assert names(GAPPED, [*GAPPED.stream(), again]) == {"ordered", "unique"}


def names(world: World, stream: Stream) -> set[str]:
    return {each.split(":")[0] for each in found(world, stream)}


def test_gaps_in_which_nothing_is_lost() -> None:
    """Where nobody knows of compactions, that is all there is to hold them to."""
    history = History.from_events(PLAIN.events)
    stream = inserted(PLAIN.stream(), 2, Gap(4, 4, ""))
    assert list(map(str, check(stream, history, scope=OURS, since=3))) == [
        (
            "gaps: revision 4, record 2: expected a gap only where something is lost; "
            "came the gap from revision 4 to 4"
        )
    ]


def test_gaps_twice() -> None:
    stream = GAPPED.stream()
    assert (
        "gaps: revision 5, record 7: expected nothing of the gap from revision 5 to 6 again; "
        "came the gap from revision 5 to 6"
    ) in found(GAPPED, [*stream[:7], Gap(5, 6, ""), *stream[4:]])
    assert (
        "gaps: revision 6, record 7: expected nothing of the gap from revision 5 to 6 again; "
        "came the gap from revision 6 to 6"
    ) in found(GAPPED, [*stream[:7], Gap(6, 6, ""), *stream[4:]])


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (Gap(1, 6, ""), "nothing before revision 2"),
        (Gap(5, 9, ""), "nothing behind revision 8, the newest there is"),
        (Gap(5, 9, ""), "an end right before a compaction (7)"),
        (Gap(6, 5, ""), "a first revision that is not behind the last"),
        (Gap(3, 6, ""), "nothing that was told: 'k/a' of revision 3 as record 1"),
        (Gap(5, 8, ""), "nothing that is yet to be told: 'k/c' of revision 8 as record 7"),
    ],
)
def test_gaps_that_are_not_exact(gap: Gap, said: str) -> None:
    violations = found(GAPPED, replaced(GAPPED.stream(), 3, gap))
    assert (
        f"gaps: revision {gap.first}, record 3: expected {said}; "
        f"came the gap from revision {gap.first} to {gap.last}"
    ) in violations


def test_gaps_that_are_not_there() -> None:
    stray = event(b"k/b", b"2", 6, None, 6, 1, synthetic=True)
    assert (
        "gaps: revision 6, key 'k/b', record 3: expected synthetic events right behind a gap only; "
        "came synthetic PUT '2'"
    ) in found(PLAIN, replaced(PLAIN.stream(), 3, stray))
