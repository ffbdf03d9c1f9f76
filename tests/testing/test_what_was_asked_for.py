"""Scopes, beginnings, ends, and gaps that stand elsewhere."""

from __future__ import annotations

import pytest

from etcd_watcher.event import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import KeyValue, Snapshot
from etcd_watcher.testing import ALL, Complete, History, Transaction, check, put
from tests.testing.test_each_property import COMMITS, PLAIN
from tests.testing.worlds import OURS, Commits, Stream, World

A, B, C = (KeyRange.of_key(key) for key in (b"k/a", b"k/b", b"k/c"))


def told(stream: Stream, *places: int) -> list[Event]:
    return [each for place in places if isinstance(each := stream[place], Event)]


def test_of_several_ranges_each_key_is_asked_for() -> None:
    stream = World(COMMITS).stream(ALL)
    ours = [each for each in stream if isinstance(each, Event) and each.raw_key != b"other"]
    assert check(ours, PLAIN.history, scope=[A, B, C], since=1, until=8) == []
    assert {each.name for each in check(ours, PLAIN.history, scope=[A, B], since=1)} == {"filter"}
    missing = check(ours, PLAIN.history, scope=[A, B, C, KeyRange.of_key(b"other")], since=1)
    assert [(each.name, each.raw_key) for each in missing] == [("reliable", b"other")]


def test_each_range_may_have_a_beginning_of_its_own() -> None:
    scope = {A: 3, B: 6, C: 8}
    stream = PLAIN.stream()  # 3 a, 3 b, 5 b, 6 b, 7 c, 7 b, 7 a, 8 c
    honest = told(stream, 0, 3, 5, 6, 7)
    assert check(honest, PLAIN.history, scope=scope, since=1, until=8) == []
    early = check(told(stream, 0, 3, 4, 5, 6, 7), PLAIN.history, scope=scope, since=1)
    assert [(each.name, each.revision) for each in early] == [("resumable", 7)]
    late = check(told(stream, 0, 5, 6, 7), PLAIN.history, scope=scope, since=1)
    assert [(each.name, each.revision) for each in late] == [("reliable", 6)]


def test_no_range_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="of which keys"):
        check([], PLAIN.history, scope=[], since=1)


def test_a_stream_that_began_wherever_it_did_is_not_held_to_a_beginning() -> None:
    for start in range(8):
        found = check(PLAIN.stream()[start:], PLAIN.history, scope=OURS, since=None, until=8)
        # It is held to whole transactions: 3 and 7 have several events.
        assert {each.name for each in found} == ({"atomic"} if start in {1, 5, 6} else set())


def test_nothing_may_have_been_due() -> None:
    assert check([], PLAIN.history, scope=OURS, since=None, until=8) == []


def test_its_first_claim_is_a_beginning_too() -> None:
    stream = [Complete(5), *PLAIN.stream()[4:]]
    missing = check(stream, PLAIN.history, scope=OURS, since=None, until=8)
    assert missing == []  # nothing was told before, so nobody can tell that 6 is missing
    assert {
        each.name for each in check([*stream, Complete(8)], PLAIN.history, scope=OURS, since=None)
    } == {"bookmarkable"}


@pytest.mark.parametrize("compaction", [(5, 7), (7, 8), (2, 3), (3, 6)])
def test_gaps_may_stand_elsewhere(compaction: tuple[int, int]) -> None:
    """A callback gets the synthetic events, and the journal has the gap."""
    world = World(COMMITS, since=2, compactions=[compaction])
    gaps = [each for each in world.stream() if isinstance(each, Gap)]
    stream = [each for each in world.stream() if not isinstance(each, Gap)]
    assert check(stream, world.history, scope=OURS, since=2, until=8, gaps=gaps) == []
    assert check(stream, world.history, scope=OURS, since=2, until=8) != []


def test_what_was_before_a_range_was_asked_for_is_not_missed_in_a_gap() -> None:
    commits: Commits = [
        (2, [(b"k/a", b"1")]),
        (3, [(b"k/a", None)]),
        (4, [(b"k/a", b"2")]),
        (5, [(b"k/a", None)]),
        (6, [(b"k/b", b"1")]),
    ]
    world = World(commits, since=3, compactions=[(3, 6)])
    stream = [each for each in world.stream() if not isinstance(each, Event) or each.key != "k/a"]
    history = world.history
    assert check(stream, history, scope={A: 4, B: 3}, since=1, until=6) == []
    assert len(check(stream, history, scope={A: 3, B: 3}, since=1, until=6)) == 1


def test_a_gap_that_nothing_follows_stands_at_the_end() -> None:
    world = World(COMMITS[:3], since=2, compactions=[(4, 4)])
    gap = Gap(4, 4, "compacted")
    history = History.from_events(world.events, last=5, compactions=[5])
    stream = [each for each in world.stream() if not isinstance(each, Gap)]
    assert check(stream, history, scope=OURS, since=2, until=5, gaps=[gap]) == []


def test_a_gap_that_stands_elsewhere_can_be_a_beginning() -> None:
    commits: Commits = [
        (2, [(b"k/a", b"1")]),
        (3, [(b"k/a", None)]),
        (4, [(b"other", b"1")]),
        (5, [(b"k/a", b"2")]),
    ]
    world = World(commits, since=2, compactions=[(2, 4)])
    gap, *told = world.stream()
    assert isinstance(gap, Gap)
    for stream in (told, [Complete(4), *told], [*told, Complete(5)]):
        assert check(stream, world.history, scope=OURS, since=2, until=5, gaps=[gap]) == []
    twice = check(told, world.history, scope=OURS, since=2, gaps=[gap, gap])
    assert "nothing of the gap from revision 2 to 3 again" in {each.expected for each in twice}


def test_a_history_that_begins_later_has_a_base() -> None:
    base = Snapshot(10, [KeyValue(b"k/a", b"1", 9, 4, 6, 0)])
    history = History([Transaction(11, (put("k/a", "2"), put("k/b", "1")))], base=base)
    assert [(each.created, each.version, each.prev_value) for each in history.events()] == [
        (4, 7, "1"),
        (11, 1, None),
    ]
    assert check(history.events(), history, scope=OURS, since=11, until=11) == []
    with pytest.raises(ValueError, match="nothing before 11"):
        check(history.events(), history, scope=OURS, since=10)


def test_it_cannot_be_held_to_what_the_history_does_not_know() -> None:
    with pytest.raises(ValueError, match="nothing behind revision 8"):
        check(PLAIN.stream(), PLAIN.history, scope=OURS, since=3, until=9)


def test_keys_that_the_stream_never_told_of_are_missed_too() -> None:
    """A key that was there before, was asked for, and went in a gap: its reader has to be told."""
    world = World(
        [(2, [(b"k/a", b"1")]), (3, [(b"k/a", None)]), (4, [(b"k/b", b"1")])], 3, [(3, 4)]
    )
    assert len(world.stream()) == 3
    without = [each for each in world.stream() if isinstance(each, Gap) or each.raw_key != b"k/a"]  # type: ignore[union-attr]
    assert [each.name for each in check(without, world.history, scope=OURS, since=3)] == ["gaps"]
