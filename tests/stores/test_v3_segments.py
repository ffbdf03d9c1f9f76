"""Pieces of a history, in any order and with any overlap, become one way without a step missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.stores.v3_response import Whole
from etcd_watcher.stores.v3_segments import Piece, Plan


def piece(start: int, end: int, cost: int = 1) -> Piece:
    return Piece(start, end, Whole([], cost))


def spans(plan: Plan) -> list[tuple[int, int]]:
    """Take all there is, as (behind, up to)."""
    taken = []
    while (found := plan.take()) is not None:
        taken.append((found[1], found[0].end))
    return taken


def test_pieces_are_given_in_order_whatever_order_they_come_in() -> None:
    plan = Plan(0, 30)
    plan.add(piece(11, 20))
    assert plan.take() is None
    plan.add(piece(21, 30))
    plan.add(piece(1, 10))
    assert spans(plan) == [(0, 10), (10, 20), (20, 30)]


def test_what_two_pieces_tell_is_news_once() -> None:
    plan = Plan(0, 30)
    plan.add(piece(1, 15))
    plan.add(piece(5, 25))
    assert spans(plan) == [(0, 15), (15, 25)]


def test_a_piece_that_tells_nothing_new_is_dropped() -> None:
    plan = Plan(0, 30)
    plan.add(piece(1, 20, cost=7))
    plan.add(piece(5, 18, cost=100))
    assert plan.cost == 7
    assert spans(plan) == [(0, 20)]
    plan.add(piece(3, 20))
    assert len(plan) == plan.cost == 0


def test_holes_are_what_is_asked_for_lowest_first() -> None:
    plan = Plan(0, 100)
    plan.add(piece(31, 50))
    assert plan.missing(span=10, limit=100) == [1, 11, 21, 51, 61, 71, 81, 91]
    assert plan.missing(span=10, limit=2) == [1, 11]
    assert plan.missing(span=1000, limit=9) == [1, 51]


def test_nothing_is_missing_once_the_end_is_here() -> None:
    plan = Plan(0, 10)
    plan.add(piece(1, 12))
    assert plan.missing(span=1, limit=5) == []
    assert plan.whole
    assert spans(plan) == [(0, 12)]


def test_a_way_with_a_hole_is_not_whole() -> None:
    plan = Plan(0, 30)
    plan.add(piece(1, 10))
    assert plan.whole
    plan.add(piece(12, 20))
    assert not plan.whole
    assert plan.farthest == 20
    assert plan.is_next_here
    plan.take()
    assert not plan.is_next_here


def test_too_much_is_shed_from_the_far_end() -> None:
    plan = Plan(0, 100)
    for start in (41, 1, 21):
        plan.add(piece(start, start + 9, cost=10))
    assert plan.shed(bound=25) == 1
    assert plan.missing(span=100, limit=9) == [11, 31]
    assert plan.shed(bound=0) == 1
    assert spans(plan) == [(0, 10)]


PIECES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 25)), max_size=40)


@given(PIECES, st.lists(st.booleans()), st.integers(1, 50))
def test_each_revision_is_news_exactly_once(
    pieces: list[tuple[int, int]], take: list[bool], span: int
) -> None:
    plan = Plan(0, 80)
    here: set[int] = set()
    news: list[int] = []
    takes = iter(take)
    for start, length in pieces:
        plan.add(piece(start, start + length))
        here |= set(range(start, start + length + 1))
        if next(takes, False):
            news += [each for after, end in spans(plan) for each in range(after + 1, end + 1)]
    news += [each for after, end in spans(plan) for each in range(after + 1, end + 1)]
    reached = next(each for each in range(90) if each + 1 not in here)
    assert news == list(range(1, reached + 1))
    # What is asked for covers every hole, and nothing that is here.
    starts = plan.missing(span, 1000)
    holes = [each for each in range(reached + 1, 81) if each not in here]
    assert [each for each in starts if each not in holes] == []
    assert all(any(start <= hole < start + span for start in starts) for hole in holes)
    assert plan.whole == (not any(each > reached for each in here))
