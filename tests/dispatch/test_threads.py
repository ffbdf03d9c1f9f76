"""How many threads there are, and that they are gone when the pool is closed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from etcd_watcher import dispatch
from etcd_watcher.dispatch import MAX_WORKERS, STAYING, WorkerPool
from etcd_watcher.event import Event
from etcd_watcher.mailbox import Mailbox
from tests.dispatch.boxes import Blocked, Box, blocking, comes_true, workers_of
from tests.fake_store import PATIENCE


@pytest.mark.usefixtures("unbounded")
def test_a_thousand_quick_mailboxes_need_few_threads(pool: WorkerPool) -> None:
    told = itertools.count()
    boxes = [Box(pool, lambda _: next(told), f"box {number}") for number in range(1000)]
    most = 0
    for revision in range(1, 11):
        for box in boxes:
            box.put(revision)
        most = max(most, len(workers_of(pool)))
    assert pool.settle(10, PATIENCE) == []
    assert next(told) == 10_000
    assert most <= MAX_WORKERS // 2  # two or three, a few more on a machine that is busy


def test_a_pool_that_had_nothing_to_do_has_no_thread(pool: WorkerPool) -> None:
    assert workers_of(pool) == []
    pool.schedule([])
    assert workers_of(pool) == []
    assert pool.settle(10**9, 0.0) == []


def test_its_threads_are_daemons_with_our_name(pool: WorkerPool) -> None:
    Box(pool, print).put()
    for worker in workers_of(pool):
        assert worker.name.startswith("etcd_watcher-worker-")
        assert worker.daemon


def test_workers_that_are_not_needed_any_more_end_but_two(
    pool: WorkerPool, blocked: Callable[[], Blocked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "IDLE_LIFE", 0.02)
    callbacks = [blocked() for _ in range(10)]
    boxes = [Box(pool, callback, "blocked") for callback in callbacks]
    for box in boxes:
        box.put(1)
    for callback in callbacks:
        assert callback.has_begun()
    assert len(workers_of(pool)) >= 10
    for callback in callbacks:
        callback.go_on.set()
    assert comes_true(lambda: len(pool._workers) == STAYING, pool)
    told = threading.Event()
    Box(pool, lambda _: told.set()).put(1)  # and those that stay do their work
    assert told.wait(PATIENCE)


def test_closing_waits_for_a_callback_under_way_and_starts_no_other(
    blocked: Callable[[], Blocked],
) -> None:
    pool, callback = WorkerPool(), blocked()
    box = blocking(pool, callback, 1, 2, 3)
    closing = threading.Thread(target=pool.close, args=(PATIENCE,))
    closing.start()
    assert comes_true(lambda: pool._closed, pool)
    assert closing.is_alive()
    box.mailbox.closed = True  # as who closes the pool does first
    callback.go_on.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert workers_of(pool) == []
    assert not callback.begun.acquire(blocking=False)


def test_closing_does_not_wait_for_ever(blocked: Callable[[], Blocked]) -> None:
    pool, callback = WorkerPool(), blocked()
    blocking(pool, callback, 1)
    pool.close(0.01)
    assert not callback.ended.is_set()
    (worker,) = workers_of(pool)
    callback.go_on.set()
    worker.join(PATIENCE)
    assert not worker.is_alive()


def test_a_callback_may_close_the_pool() -> None:
    pool, done = WorkerPool(), threading.Event()

    def callback(_: Event) -> None:
        pool.close(PATIENCE)
        done.set()

    Box(pool, callback).put(1)
    assert done.wait(PATIENCE)
    for worker in workers_of(pool):
        worker.join(PATIENCE)
    assert workers_of(pool) == []


def test_closing_ends_those_who_wait(blocked: Callable[[], Blocked]) -> None:
    pool, callback = WorkerPool(), blocked()
    box = blocking(pool, callback, 1)
    results: list[list[Mailbox]] = []
    waiting = threading.Thread(target=lambda: results.append(pool.settle(1, PATIENCE)))
    waiting.start()
    assert comes_true(lambda: pool._awaited, pool)
    pool.close(0.0)
    waiting.join(PATIENCE)
    assert results == [[box.mailbox]]
    callback.go_on.set()


def test_a_closed_pool_takes_no_more_and_may_be_closed_again() -> None:
    pool, told = WorkerPool(), list[Event]()
    pool.close()
    pool.close()
    Box(pool, told.append).put(1)
    assert workers_of(pool) == []
    assert told == []


def test_idle_workers_end_at_once_when_the_pool_is_closed() -> None:
    pool, told = WorkerPool(), threading.Event()
    Box(pool, lambda _: told.set()).put(1)
    assert told.wait(PATIENCE)
    workers = workers_of(pool)
    pool.close(PATIENCE)
    assert workers
    assert not any(worker.is_alive() for worker in workers)
