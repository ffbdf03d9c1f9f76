"""After lost history: a gap that says so, and the true values."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher.errors import Compacted, RequestRejected
from etcd_watcher.event import Gap, Status
from tests.fake_store import PATIENCE, FakeStore
from tests.feed.core import LOST, A, B, C, Core

pytestmark = pytest.mark.usefixtures("quick")


def lose_history(core: Core, *changes: tuple[str, str | None]) -> None:
    """Have changes made and forgotten while the connection is away."""
    watch = core.store.watch_number(len(core.store.watches))
    watch.hold()
    for change in changes:
        core.store.commit(change)
    core.store.compact(core.store.now)
    watch.push(LOST)


def recover(core: Core, *changes: tuple[str, str | None]) -> None:
    """Lose history, and wait until that is told and over."""
    gaps = len(core.gaps())
    lose_history(core, *changes)
    core.wait_until(lambda: len(core.gaps()) > gaps)
    core.wait_complete()


def test_lost_history_is_a_gap_followed_by_the_true_values(core: Core) -> None:
    core.cover(A, B, C)
    core.store.commit(("a", "1"), ("b", "1"), ("c", "1"))
    core.wait_complete()
    recover(core, ("a", "2"), ("a", "3"), ("b", None), ("x", "1"))
    core.store.commit(("a", "4"))
    core.wait_complete()
    records = [each for each in core.journal if not isinstance(each, Status)]
    gap = records[3]
    assert isinstance(gap, Gap)
    assert (gap.first, gap.last) == (3, 5)
    assert core.told()[3:] == [(4, "a", "3"), (6, "b", None), (7, "a", "4")]
    assert [each.synthetic for each in core.journal.events()] == [False] * 3 + [True] * 2 + [False]


def test_a_gap_without_a_change_of_ours_is_still_told(core: Core) -> None:
    core.cover(A)
    recover(core, ("x", "1"), ("x", "2"))
    assert core.told() == []


def test_a_resync_that_fails_is_tried_again_and_tells_one_gap(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("snapshot", LOST, Compacted(3), LOST)
    recover(core, ("a", "1"), ("a", "2"))
    assert core.told() == [(3, "a", "2")]
    assert len(core.gaps()) == 1
    assert core.store.calls["snapshot"] == 4


def test_two_losses_are_two_gaps_that_do_not_overlap(core: Core) -> None:
    core.cover(A)
    recover(core, ("a", "1"), ("a", "2"))
    core.store.watch_number(3)
    recover(core, ("a", "3"), ("a", "4"))
    first, second = core.gaps()
    assert (first.first, first.last, second.first, second.last) == (2, 2, 4, 4)
    assert core.told() == [(3, "a", "2"), (5, "a", "4")]


def test_a_resync_that_is_refused_is_tried_again(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("snapshot", RequestRejected("no permission to read"))
    recover(core, ("a", "1"), ("a", "2"))
    assert core.told() == [(3, "a", "2")]


def test_closing_during_a_resync_ends_it_without_a_word(
    store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core(store)
    core.cover(A)
    goes_on = threading.Event()
    store.before("snapshot", lambda: goes_on.wait(PATIENCE))
    lose_history(core, ("a", "1"), ("a", "2"))
    store.wait_until(lambda: store.calls["snapshot"])
    core.feed.close(0.0)
    store.close()
    goes_on.set()
    core.close()
    assert caplog.records == []
    assert core.gaps() == []
