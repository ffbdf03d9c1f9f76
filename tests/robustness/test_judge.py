"""What the judges hold a listener to, where a gap of the feed is not wholly one of its own."""

from __future__ import annotations

import pytest

from etcd_watcher import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.testing import History, Transaction, check, put
from tests.robustness.audience import Listener
from tests.robustness.judge import gaps_of

KEY = KeyRange.of_key(b"k")
HISTORY = History(
    [Transaction(each, (put("k", str(each)),)) for each in (2, 3, 4, 5, 6, 7, 8, 10)], last=10
)

LOST = Gap(4, 8, "the server has dropped its history before revision 9")
"""What the feed never heard."""


def heard(*revisions: int, past: bool = True) -> Listener:
    """Make one who was told these, then the value at the gap's end, then what came behind it."""
    told = [each for each in HISTORY if each.revision in revisions]
    told += [each._replace(synthetic=True, raw_prev_value=None) for each in HISTORY.between(8, 8)]
    told += HISTORY.between(10, 10)
    listener = Listener("somebody", [KEY], start=1, begun=1, until=10, past=past)
    listener.told = [(0.0, each) for each in told]
    return listener


def faults(listener: Listener) -> list[str]:
    told: list[Event] = [event for _, event in listener.told]
    gaps = gaps_of(listener, [LOST], 2)
    found = check(told, HISTORY, scope=listener.scope, since=2, until=10, gaps=gaps)
    return [each.name for each in found]


def test_who_heard_as_much_as_the_feed_has_its_gap() -> None:
    listener = heard(2, 3)
    assert gaps_of(listener, [LOST], 2) == [LOST]
    assert faults(listener) == []


def test_who_read_the_past_farther_than_the_feed_has_a_shorter_one() -> None:
    listener = heard(2, 3, 4, 5, 6)
    assert gaps_of(listener, [LOST], 2) == [Gap(7, 8, LOST.reason)]
    assert faults(listener) == []


@pytest.mark.parametrize("missing", [4, 5])
def test_what_they_ought_to_have_read_before_that_is_missed(missing: int) -> None:
    assert faults(heard(*({2, 3, 4, 5, 6} - {missing})))


def test_who_did_not_ask_for_the_past_is_told_nothing_of_a_gap() -> None:
    assert faults(heard(2, 3, 4, 5, 6, past=False))


def test_who_read_all_of_it_has_none() -> None:
    listener = heard(2, 3, 4, 5, 6, 7, 8)
    assert gaps_of(listener, [LOST], 2) == []
