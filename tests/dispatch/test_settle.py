"""Waiting until all is delivered, from outside and from callbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.event import Event
from etcd_watcher.mailbox import Mailbox
from tests.dispatch.boxes import Blocked, Box, blocking, comes_true
from tests.fake_store import PATIENCE


def test_settling_waits_for_the_callback_to_return(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callback = blocked()
    box = blocking(pool, callback, 5)
    assert pool.settle(5, 0.01) == [box.mailbox]
    assert pool.settle(4, 0.0) == []
    threading.Thread(target=callback.go_on.set).start()
    assert pool.settle(5, PATIENCE) == []
    assert callback.ended.is_set()


def test_settling_does_not_wait_for_what_comes_later(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callback = blocked()
    told: list[int] = []
    box = Box(
        pool, lambda each: told.append(each.revision) if each.revision < 7 else callback(each)
    )
    box.put(5, 6, 7, 8)
    assert callback.has_begun()
    assert pool.settle(6, PATIENCE) == []
    assert told == [5, 6]


def test_a_callback_may_settle_and_does_not_wait_for_its_own_mailbox(pool: WorkerPool) -> None:
    late: list[list[Mailbox]] = []
    done = threading.Event()

    def callback(_: Event) -> None:
        late.append(pool.settle(9, PATIENCE))
        done.set()

    box = Box(pool, callback)
    box.put(9)
    assert done.wait(PATIENCE)
    assert late == [[]]


def test_a_callback_that_settles_waits_for_the_others(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    other = blocked()
    ended: list[bool] = []
    done = threading.Event()

    def callback(_: Event) -> None:
        late = pool.settle(9, PATIENCE)
        ended.append(other.ended.is_set() and not late)
        done.set()

    blocking(pool, other, 9, name="other")
    Box(pool, callback).put(9)
    assert comes_true(lambda: pool._awaited, pool)
    other.go_on.set()
    assert done.wait(PATIENCE)
    assert ended == [True]


def test_callbacks_that_settle_at_the_same_time_do_not_wait_for_each_other(
    pool: WorkerPool,
) -> None:
    both, done = threading.Barrier(2), threading.Semaphore(0)
    late: list[list[Mailbox]] = []

    def callback(_: Event) -> None:
        both.wait(PATIENCE)
        late.append(pool.settle(9, PATIENCE))
        done.release()

    Box(pool, callback, "one").put(9)
    Box(pool, callback, "other").put(9)
    for _ in range(2):
        assert done.acquire(timeout=PATIENCE)
    assert late == [[], []]


def test_one_who_is_no_callback_waits_for_a_callback_that_settles(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    other, settled = blocked(), threading.Event()

    def callback(_: Event) -> None:
        pool.settle(9, PATIENCE)
        settled.set()

    blocking(pool, other, 9, name="other")
    settles = Box(pool, callback, "settles")
    settles.put(5)
    assert comes_true(lambda: pool._settling, pool)
    assert pool.settle(5, 0.02) == [settles.mailbox]
    other.go_on.set()
    assert pool.settle(5, PATIENCE) == []
    assert settled.is_set()


@pytest.mark.usefixtures("eager_threads", "unbounded")
def test_settling_from_several_threads_never_returns_early(pool: WorkerPool) -> None:
    count, last = 5, 400
    told = [0] * count

    def callback(number: int, each: Event) -> None:
        told[number] = each.revision

    boxes = [Box(pool, partial(callback, number), f"box {number}") for number in range(count)]
    offered, stop = 0, threading.Event()
    early: list[tuple[int, list[int]]] = []

    def settle() -> None:
        while not stop.is_set():
            revision = offered
            if pool.settle(revision, PATIENCE):
                early.append((revision, []))
            elif min(told) < revision:
                early.append((revision, list(told)))

    settlers = [threading.Thread(target=settle) for _ in range(3)]
    for settler in settlers:
        settler.start()
    for revision in range(1, last + 1):
        for box in boxes:
            box.put(revision)
        offered = revision
    assert pool.settle(last, PATIENCE) == []
    stop.set()
    for settler in settlers:
        settler.join(PATIENCE)
    assert early == []
    assert told == [last] * count
