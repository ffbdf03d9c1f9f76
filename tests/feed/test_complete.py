"""When everything up to a revision is known to be published."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher import feed as feed_module
from etcd_watcher.keys import KeyRange
from tests.fake_store import PATIENCE
from tests.feed.core import LOST, A, Core


def begin_to_wait(core: Core) -> tuple[threading.Thread, list[bool]]:
    """Wait for revision 2 on a thread, and give where it puts what it was told."""
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(core.feed.wait_complete(2, PATIENCE)))
    thread.start()
    return thread, waited


def test_it_is_not_complete_before_the_change_is_published(core: Core) -> None:
    core.cover(A)
    core.store.watch_number(1).hold()
    core.store.commit(("a", "1"))
    assert not core.feed.wait_complete(2, 0.02)
    core.store.watch_number(1).hold(held=False)
    assert core.feed.wait_complete(2, PATIENCE)
    assert core.told() == [(2, "a", "1")]


def test_changes_of_other_keys_are_asked_about(core: Core) -> None:
    core.cover(A)
    core.store.commit(("x", "1"))
    assert core.feed.wait_complete(2, PATIENCE)
    assert core.store.watches[0].probes == [2]
    assert core.feed.revision == 2


def test_changes_of_our_own_keys_are_not_asked_about(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PATIENCE", PATIENCE)
    core.cover(A)
    core.store.commit(("a", "1"))
    assert core.feed.wait_complete(2, PATIENCE)
    assert core.store.watches[0].probes == []


def test_it_asks_once_and_waits_for_the_answer(core: Core) -> None:
    core.cover(A)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    assert not core.feed.wait_complete(2, 0.1)
    assert core.store.watches[0].probes == [2]


def test_what_is_behind_already_is_complete_at_once(core: Core) -> None:
    core.cover(A)
    assert core.feed.wait_complete(1, 0.0)
    assert core.feed.wait_complete(0, -1.0)
    assert not core.feed.wait_complete(2, -1.0)


def test_a_question_that_fails_does_not_reach_the_one_who_waits(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("probe", LOST)
    core.store.commit(("x", "1"))
    thread, waited = begin_to_wait(core)
    core.store.wait_until(lambda: core.store.calls["probe"])
    core.store.commit(("a", "1"))
    thread.join(PATIENCE)
    assert waited == [True]


@pytest.mark.usefixtures("quick")
def test_a_new_watch_is_asked_again(core: Core) -> None:
    core.cover(A)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    thread, waited = begin_to_wait(core)
    core.store.wait_until(lambda: core.store.watches[0].probes)
    core.store.deaf_to_probes = False
    core.store.watches[0].push(LOST)
    thread.join(PATIENCE)
    assert waited == [True]
    assert core.store.watches[1].probes == [2]


def test_a_new_range_is_asked_again(core: Core) -> None:
    """The answer was read of the old range, and dropped with it."""
    core.cover(A)
    watch = core.store.watch_number(1)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    thread, waited = begin_to_wait(core)
    core.store.wait_until(lambda: watch.probes)
    with core.demux.lock:
        core.store.deaf_to_probes = False
        watch.hold(held=False)
        core.store.wait_until(lambda: watch.answers)
        core.feed._reach._set_scope(KeyRange(b"a", b"d"))
    thread.join(PATIENCE)
    assert waited == [True]


def test_closing_ends_the_wait(core: Core) -> None:
    core.cover(A)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    thread, waited = begin_to_wait(core)
    core.store.wait_until(lambda: core.store.calls["probe"])
    core.feed.close()
    thread.join(PATIENCE)
    assert waited == [False]
