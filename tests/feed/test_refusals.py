"""A range that the server refuses, or does not acknowledge: who hears of it, and what is watched then."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.keys import KeyRange
from tests.fake_store import PATIENCE, FakeStore
from tests.feed.core import LOST, A, B, C, Core, refuse_b
from tests.threads import interrupted


def test_a_refusal_reaches_the_one_who_asked_and_what_was_watched_still_is(core: Core) -> None:
    core.cover(A)
    core.store.refusal = refuse_b
    with pytest.raises(RequestRejected, match="no permission for b"):
        core.cover(B)
    assert core.feed.scope == A
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]
    assert core.feed.status.state == "connected"


def test_a_first_range_that_is_refused_leaves_nothing_watched(core: Core) -> None:
    core.store.refusal = refuse_b
    with pytest.raises(RequestRejected):
        core.cover(B)
    assert core.feed.scope is None
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]


def test_a_refusal_can_be_had_again_and_again(core: Core) -> None:
    core.cover(A)
    core.store.refusal = refuse_b
    for _ in range(5):
        with pytest.raises(RequestRejected):
            core.cover(B)
    core.store.refusal = lambda _: None
    core.cover(B)
    core.store.commit(("a", "1"), ("b", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (2, "b", "1")]


@pytest.mark.usefixtures("quick")
def test_a_range_that_is_refused_later_is_tried_again_and_shows_in_the_status(
    store: FakeStore,
) -> None:
    core = Core(store, timeout=0.01)
    core.cover(B)
    store.refusal = refuse_b
    store.watch_number(1).push(LOST)
    core.wait_until(lambda: "no permission" in core.feed.status.reason)
    assert core.feed.status.state == "reconnecting"
    store.refusal = lambda _: None
    core.wait_until(lambda: core.feed.status.state == "connected")
    store.commit(("b", "1"))
    core.wait_complete()
    assert core.told() == [(2, "b", "1")]
    core.close()


def test_a_refusal_reaches_nobody_who_asked_for_something_else(core: Core) -> None:
    core.cover(A)
    core.store.refusal = refuse_b
    stop, outcomes = threading.Event(), list[object]()

    def ask_for_what_is_refused() -> None:
        while not stop.is_set():
            try:
                core.cover(B)
            except RequestRejected:
                pass
            else:
                outcomes.append("b was not refused")

    def ask_for_what_is_not() -> None:
        try:
            for number in range(20):
                core.cover(KeyRange.of_key(b"%02d" % number))
        except Exception as error:  # noqa: BLE001 - any is one too many
            outcomes.append(error)

    refused = threading.Thread(target=ask_for_what_is_refused)
    allowed = [threading.Thread(target=ask_for_what_is_not) for _ in range(2)]
    for thread in (refused, *allowed):
        thread.start()
    for thread in allowed:
        thread.join(PATIENCE)
    stop.set()
    refused.join(PATIENCE)
    assert outcomes == []
    assert core.feed.scope is not None
    assert b"b" not in core.feed.scope


def test_no_acknowledgement_in_time_names_the_endpoints_and_restores_what_was_watched(
    core: Core,
) -> None:
    core.cover(A)
    core.store.silent = True
    with pytest.raises(ConnectionFailed, match="http://one:2379"):
        core.cover(C, timeout=0.01)
    assert core.feed.scope == A
    core.store.speak()
    core.store.commit(("a", "1"), ("c", "1"))
    core.wait_complete()
    assert (2, "a", "1") in core.told()


def test_the_error_of_a_range_that_was_not_acknowledged_says_why(core: Core) -> None:
    core.store.fail_next("watch", *[ConnectionFailed("in full", "connection refused")] * 1000)
    with pytest.raises(ConnectionFailed, match="connection refused") as caught:
        core.cover(A, timeout=0.2)
    assert "LocalEtcd" in str(caught.value)
    assert core.feed.scope is None


def test_a_failure_of_one_who_asked_does_not_take_away_what_another_got_meanwhile(
    core: Core,
) -> None:
    core.store.silent = True
    errors: list[BaseException] = []

    def ask(scope: KeyRange, timeout: float) -> None:
        try:
            core.cover(scope, timeout=timeout)
        except ConnectionFailed as error:
            errors.append(error)

    first = threading.Thread(target=ask, args=(A, 0.3))
    first.start()
    core.store.wait_until(lambda: core.store.watches and core.store.watches[0].reads)
    second = threading.Thread(target=ask, args=(C, PATIENCE))
    second.start()
    first.join(PATIENCE)
    core.store.speak()
    second.join(PATIENCE)
    assert len(errors) == 1
    core.store.commit(("c", "1"))
    core.wait_complete()
    assert (2, "c", "1") in core.told()


def test_an_interrupt_while_asking_leaves_what_was_watched(core: Core) -> None:
    core.cover(A)
    core.store.silent = True
    watch = core.store.watch_number(1)
    with interrupted(lambda: core.store.wait_until(lambda: len(watch.targets) == 2)):
        core.cover(C)
    assert core.feed.scope == A
    core.store.speak()
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]
    core.cover(C)
