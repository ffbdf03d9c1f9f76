"""The workers: serial for one subscriber, and no waiting for another's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from etcd_watcher import dispatch
from etcd_watcher.dispatch import MAX_WORKERS, WorkerPool
from etcd_watcher.event import Event
from tests.dispatch.boxes import Blocked, Box, blocking, comes_true, workers_of
from tests.fake_store import PATIENCE


@pytest.mark.usefixtures("eager_threads", "unbounded")
def test_each_mailbox_is_emptied_by_one_worker_at_a_time_and_in_order(pool: WorkerPool) -> None:
    count, last = 20, 300
    told: list[list[int]] = [[] for _ in range(count)]
    inside = [0] * count
    overlaps: list[int] = []

    def callback(number: int, each: Event) -> None:
        inside[number] += 1
        if inside[number] != 1:
            overlaps.append(number)
        told[number].append(each.revision)
        inside[number] -= 1

    boxes = [Box(pool, partial(callback, number), f"box {number}") for number in range(count)]

    def put_all(some: list[Box]) -> None:
        for revision in range(1, last + 1):
            for box in some:
                box.put(revision)

    putters = [threading.Thread(target=put_all, args=(boxes[part::4],)) for part in range(4)]
    for putter in putters:
        putter.start()
    for putter in putters:
        putter.join(PATIENCE)
    assert pool.settle(last, PATIENCE) == []
    assert overlaps == []
    assert told == [list(range(1, last + 1))] * count


@pytest.mark.usefixtures("eager_threads", "unbounded")
def test_no_event_is_forgotten_where_one_comes_as_a_run_ends(pool: WorkerPool) -> None:
    """A hundred thousand events, each put in while the worker may be about to leave."""
    rounds, a_round = 500, 200
    told = 0

    def callback(_: Event) -> None:
        nonlocal told
        told += 1

    box = Box(pool, callback)
    revision = 0
    for number in range(rounds):
        for _ in range(a_round):
            revision += 1
            box.put(revision)
        if number % 2:  # and the last of all, with nobody to come after it
            assert pool.settle(revision, PATIENCE) == []
            assert told == revision
    assert pool.settle(revision, PATIENCE) == []
    assert told == rounds * a_round


@pytest.mark.usefixtures("unbounded")
def test_no_event_is_forgotten_where_each_waits_for_the_last_to_be_told(pool: WorkerPool) -> None:
    """The worker has just returned from the callback, and leaves, as the next event comes."""
    told = threading.Semaphore(0)
    box = Box(pool, lambda _: told.release())
    for revision in range(1, 3001):
        box.put(revision)
        assert told.acquire(timeout=PATIENCE)


def test_scheduling_what_is_scheduled_already_calls_nobody_twice(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callback = blocked()
    box = blocking(pool, callback, 1)
    for _ in range(10):
        pool.schedule([box.mailbox, box.mailbox])
    callback.go_on.set()
    assert pool.settle(1, PATIENCE) == []
    assert box.mailbox.delivery.delivered == 1


def test_one_blocked_callback_does_not_delay_the_others(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callback, told = blocked(), threading.Semaphore(0)
    blocking(pool, callback, 1)
    others = [Box(pool, lambda _: told.release(), f"box {number}") for number in range(50)]
    for revision in range(2, 12):
        for box in others:
            box.put(revision)
        for _ in others:
            assert told.acquire(timeout=PATIENCE)
    assert not callback.ended.is_set()


def test_all_workers_but_one_may_be_blocked_and_the_last_serves_the_rest(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callbacks = [blocked() for _ in range(MAX_WORKERS - 1)]
    for number, callback in enumerate(callbacks):
        Box(pool, callback, f"blocked {number}").put(1)
    for callback in callbacks:
        assert callback.has_begun()
    told = threading.Semaphore(0)
    others = [Box(pool, lambda _: told.release(), f"box {number}") for number in range(30)]
    for revision in range(2, 7):
        for box in others:
            box.put(revision)
    for _ in range(5 * len(others)):
        assert told.acquire(timeout=PATIENCE)
    assert not any(callback.ended.is_set() for callback in callbacks)
    assert len(workers_of(pool)) <= MAX_WORKERS


def test_with_all_workers_blocked_the_others_wait_and_are_served_when_one_returns(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callbacks = [blocked() for _ in range(MAX_WORKERS + 5)]
    for number, callback in enumerate(callbacks):
        Box(pool, callback, f"blocked {number}").put(1)
    begun: set[int] = set()

    def one_more_has_begun() -> bool:
        begun.update(i for i, each in enumerate(callbacks) if each.begun._value)
        return len(begun) >= MAX_WORKERS

    assert comes_true(one_more_has_begun, pool)
    told = threading.Event()
    Box(pool, lambda _: told.set(), "waits").put(1)
    assert len(workers_of(pool)) == MAX_WORKERS
    assert len(begun) == MAX_WORKERS
    assert not told.is_set()
    for callback in callbacks:
        callback.go_on.set()
    assert told.wait(PATIENCE)
    for callback in callbacks:
        assert callback.has_begun()


def test_a_slow_mailbox_that_takes_the_one_who_looks_on_leaves_another_to_look(
    pool: WorkerPool, blocked: Callable[[], Blocked], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for what follows, and a worker that nobody wakes never wakes by itself.
    monkeypatch.setattr(dispatch, "PATIENCE", 0.3)
    monkeypatch.setattr(dispatch, "IDLE_LIFE", 3 * PATIENCE)
    holds_the_turn, first_slow, second_slow = blocked(), blocked(), blocked()
    told = threading.Event()
    slow = blocking(pool, first_slow, 1, name="slow", slow=True)
    blocking(pool, holds_the_turn, 1, name="holds the turn")
    Box(pool, lambda _: told.set(), "waits").put(1)
    assert comes_true(lambda: pool._looking or told.is_set(), pool)
    first_slow.go_on.set()  # its worker becomes idle behind the one who looks on
    assert comes_true(lambda: not slow.mailbox.scheduled, pool)
    blocking(pool, second_slow, 1, name="another slow one", slow=True)
    assert told.wait(PATIENCE)
    assert not holds_the_turn.ended.is_set()
