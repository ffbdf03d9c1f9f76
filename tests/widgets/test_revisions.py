"""The order of what happened, however it is told, and what is gone by now."""

from __future__ import annotations

import random

from etcd_watcher.event import Event
from etcd_watcher.widgets.revisions import Revisions
from tests.fake_store import event

STORY = [
    event(2, b"a", b"1"),
    event(4, b"b", b"x"),
    event(4, b"c", b"x"),
    event(7, b"a", None, prev=b"1"),
    event(9, b"b", None, prev=b"x"),
    event(12, b"b", b"y"),
]


def told(events: list[Event], most: int = 100) -> Revisions:
    made = Revisions(most)
    made.extend(events)
    return made


def shown(made: Revisions) -> list[tuple[int, dict[bytes, str]]]:
    return [(made.at(place).revision, made.at(place).kinds) for place in range(len(made))]


def test_each_revision_is_a_step_with_its_changes() -> None:
    made = told(STORY)
    assert [revision for revision, _ in shown(made)] == [2, 4, 7, 9, 12]
    assert made.at(1).kinds == {b"b": "created", b"c": "created"}
    assert made.at(2).kinds == {b"a": "deleted"}


def test_the_place_of_a_revision_is_that_of_the_last_step_before_it() -> None:
    made = told(STORY)
    assert [made.place(revision) for revision in (1, 2, 3, 4, 11, 12, 99)] == [-1, 0, 0, 1, 3, 4, 4]


def test_what_is_gone_is_what_was_deleted_and_is_not_back() -> None:
    made = told(STORY)
    assert list(made.gone) == [b"a"]
    assert (made.gone[b"a"].revision, made.gone[b"a"].value) == (7, b"1")


def test_any_order_and_any_repetition_tell_the_same() -> None:
    expected = told(STORY)
    for seed in range(50):
        mixed = STORY + STORY[:3]
        random.Random(seed).shuffle(mixed)  # noqa: S311 - any order will do
        made = told(mixed)
        assert [revision for revision, _ in shown(made)] == [2, 4, 7, 9, 12]
        assert made.gone == expected.gone
        assert all(one == other for one, other in zip(shown(made), shown(expected), strict=True))


def test_a_value_that_one_telling_lacks_is_taken_from_the_other() -> None:
    whole, bare = event(7, b"a", None, prev=b"1"), event(7, b"a", None)
    for order in ([whole, bare], [bare, whole]):
        assert told(order).gone[b"a"].value == b"1"


def test_it_keeps_the_newest_and_says_what_it_left_out() -> None:
    made = told([event(2, b"lost", b"x"), event(3, b"lost", None, prev=b"x")], most=10)
    made.extend(event(revision, b"k", b"%d" % revision) for revision in range(4, 40))
    assert 10 <= len(made) <= 11
    assert made.at(0).revision == made.forgotten + 1
    assert not made.gone
    made.add(event(5, b"late", b"x"))
    assert made.at(0).revision == made.forgotten + 1
