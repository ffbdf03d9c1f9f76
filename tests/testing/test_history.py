"""The ground truth: what it makes of what it is given, and what it does not believe."""

from __future__ import annotations

import pytest
from hypothesis import given

from etcd_watcher.event import Event, EventType, Gap, Status
from etcd_watcher.journal import Record
from etcd_watcher.keys import KeyRange
from etcd_watcher.testing import ALL, Change, History, Transaction, put
from tests.testing.test_any_history import patient
from tests.testing.worlds import World, event, worlds


@patient
@given(worlds())
def test_its_events_are_what_a_server_would_tell(world: World) -> None:
    assert list(world.history) == world.events
    assert world.history.events() == world.events
    assert History.from_events(world.events).events() == world.events
    for revision in range(1, world.last + 1):
        keys = {key for _, changes in world.commits for key, _ in changes}
        there = {key: found for key in keys if (found := world.history.at(key, revision))}
        assert there == world.keyspace(revision)
        assert world.history.living(ALL, revision) == sorted(there)
        assert world.history.between(revision, revision) == [
            each for each in world.events if each.revision == revision
        ]


def test_its_events_can_be_asked_for_by_range_and_beginning() -> None:
    history = History(
        [Transaction(2, (put("a", "1"), put("b", "1"))), Transaction(3, (put("a", "2"),))]
    )
    assert [each.revision for each in history.events(KeyRange.of_key(b"a"))] == [2, 3]
    assert [each.key for each in history.events(since=3)] == ["a"]


@pytest.mark.parametrize(
    ("transactions", "said"),
    [
        ([Transaction(2, (Change(b"a\n", None),))], r"revision 2 deletes key 'a\\n', which is"),
        ([Transaction(2, (put("a", ""), put("a", "")))], "revision 2 changes key 'a' twice"),
        ([Transaction(2, (put("a", ""),)), Transaction(2, (put("b", ""),))], "2 comes behind 2"),
        ([Transaction(0, (put("a", ""),))], "revision 0 comes behind 0"),
    ],
)
def test_it_does_not_believe_what_cannot_be(transactions: list[Transaction], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        History(transactions)


def test_it_knows_how_far_it_knows() -> None:
    transactions = [Transaction(5, (put("a", ""),))]
    assert History(transactions).last == 5
    assert History(transactions, last=9).last == 9
    assert History().last == 0
    with pytest.raises(ValueError, match="goes up to revision 5"):
        History(transactions, last=4)


def test_a_watch_with_gaps_is_no_ground_truth() -> None:
    fine: list[Record] = [Status("connected"), event(b"a", b"", 2, None, 2, 1)]
    assert len(History.from_events(fine)) == 1
    with pytest.raises(ValueError, match="no gaps"):
        History.from_events([*fine, Gap(3, 4, "lost")])
    with pytest.raises(ValueError, match="no gaps"):
        History.from_events([event(b"a", b"", 2, None, 2, 1, synthetic=True)])


def test_a_set_of_v2_begins_a_new_life() -> None:
    def told(action: str, revision: int) -> Event:
        return event(b"/a", b"", revision)._replace(action=action)

    actions = ["set", "update", "compareAndSwap", "set", "update"]
    history = History.from_events(map(told, actions, range(7, 12)))
    assert [each.created for each in history] == [7, 7, 7, 10, 10]
    assert {each.version for each in history} == {0}
    assert all(each.type is EventType.PUT for each in history)


def test_its_repr_is_stable() -> None:
    history = History([Transaction(2, (put("a", ""), put("b", "")))], last=7)
    assert repr(history) == "History(2 events, revisions 1 to 7)"
