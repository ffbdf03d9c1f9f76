"""The workers: serial for one subscriber, no waiting for another's, few, and gone when closed."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from etcd_watcher import dispatch
from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.dispatch import MAX_WORKERS, STAYING, WorkerPool
from etcd_watcher.errors import ConnectionFailed, StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription
from tests.fake_store import PATIENCE, event


def no_refill(mailbox: Mailbox) -> None:
    pytest.fail("there was nothing to catch up with")


class Box:
    """A mailbox with one subscription, and the numbers of the events to come."""

    def __init__(
        self,
        pool: WorkerPool,
        call: Callable[[Event], Any],
        name: str = "who",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.pool = pool
        self.mailbox = Mailbox(name, no_refill, None)
        self.subscription = Subscription(
            "k", KeyRange.of_key(b"k"), prefix=False, who=name, call=call, loop=loop
        )
        self.mailbox.add(self.subscription)

    def put(self, *revisions: int) -> None:
        for revision in revisions:
            self.mailbox.offer(event(revision), self.subscription)
        self.pool.schedule([self.mailbox])


class Blocked:
    """A callback that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.ended = threading.Event()

    def __call__(self, _: Event) -> None:
        self.begun.release()
        self.go_on.wait(3 * PATIENCE)
        self.ended.set()

    def has_begun(self) -> bool:
        return self.begun.acquire(timeout=PATIENCE)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close(PATIENCE)
    assert workers_of(pool) == []


@pytest.fixture
def blocked() -> Iterator[Callable[[], Blocked]]:
    """Give callbacks that block; they are let go at the end, whatever happens."""
    made: list[Blocked] = []

    def make() -> Blocked:
        made.append(Blocked())
        return made[-1]

    yield make
    for each in made:
        each.go_on.set()


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mailboxes hold any number of events."""
    monkeypatch.setattr(mailbox_module, "MAILBOX_EVENTS", 10**9)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Have Python switch between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def workers_of(pool: WorkerPool) -> list[threading.Thread]:
    with pool._work:
        return [each for each in pool._workers if each.is_alive()]


def comes_true(condition: Callable[[], object], pool: WorkerPool) -> bool:
    """Tell whether something comes true of a pool that nothing announces."""
    for _ in range(int(PATIENCE / 0.001)):
        with pool._work:
            if condition():
                return True
        threading.Event().wait(0.001)
    return False


# One subscriber.


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
    box = Box(pool, callback)
    box.put(1)
    assert callback.has_begun()
    for _ in range(10):
        pool.schedule([box.mailbox, box.mailbox])
    callback.go_on.set()
    assert pool.settle(1, PATIENCE) == []
    assert box.mailbox.delivery.delivered == 1


# Several subscribers.


def test_one_blocked_callback_does_not_delay_the_others(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callback, told = blocked(), threading.Semaphore(0)
    Box(pool, callback, "blocked").put(1)
    others = [Box(pool, lambda _: told.release(), f"box {number}") for number in range(50)]
    assert callback.has_begun()
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
    slow = Box(pool, first_slow, "slow")
    slow.mailbox.slow = True
    slow.put(1)
    assert first_slow.has_begun()
    Box(pool, holds_the_turn, "holds the turn").put(1)
    assert holds_the_turn.has_begun()
    Box(pool, lambda _: told.set(), "waits").put(1)
    assert comes_true(lambda: pool._looking or told.is_set(), pool)
    first_slow.go_on.set()  # its worker becomes idle behind the one who looks on
    assert comes_true(lambda: not slow.mailbox.scheduled, pool)
    another = Box(pool, second_slow, "another slow one")
    another.mailbox.slow = True
    another.put(1)
    assert second_slow.has_begun()
    assert told.wait(PATIENCE)
    assert not holds_the_turn.ended.is_set()


# How many threads.


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


# Waiting for all of them.


def test_settling_waits_for_the_callback_to_return(
    pool: WorkerPool, blocked: Callable[[], Blocked]
) -> None:
    callback = blocked()
    box = Box(pool, callback)
    box.put(5)
    assert callback.has_begun()
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

    Box(pool, other, "other").put(9)
    assert other.has_begun()
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

    Box(pool, other, "other").put(9)
    assert other.has_begun()
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


# Event loops.


def test_async_callbacks_are_told_and_waited_for(pool: WorkerPool) -> None:
    log: list[tuple[str, int]] = []

    async def callback(each: Event) -> None:
        log.append(("begin", each.revision))
        await asyncio.sleep(0)
        log.append(("end", each.revision))

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())
        for revision in range(1, 201):
            box.put(revision)
        assert await asyncio.to_thread(pool.settle, 200, PATIENCE) == []

    asyncio.run(main())
    assert log == [(step, number) for number in range(1, 201) for step in ("begin", "end")]


def test_settling_on_the_loop_that_has_the_events_is_refused(pool: WorkerPool) -> None:
    async def callback(_: Event) -> None: ...

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())
        box.put(1)
        assert comes_true(lambda: box.mailbox.parked_on, pool)
        with pytest.raises(RuntimeError, match=r"await watcher\.sync_async\(\)"):
            pool.settle(1, PATIENCE)
        assert await asyncio.to_thread(pool.settle, 1, PATIENCE) == []
        assert pool.settle(1, PATIENCE) == []  # nothing is in its hands any more

    asyncio.run(main())


@pytest.mark.usefixtures("eager_threads", "unbounded")
def test_no_event_is_forgotten_where_one_comes_as_the_loop_gives_the_mailbox_back(
    pool: WorkerPool,
) -> None:
    told: list[int] = []

    async def callback(each: Event) -> None:
        told.append(each.revision)

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())

        def put_all() -> None:
            for revision in range(1, 5001):
                box.put(revision)

        await asyncio.to_thread(put_all)
        assert await asyncio.to_thread(pool.settle, 5000, PATIENCE) == []

    asyncio.run(main())
    assert told == list(range(1, 5001))


def test_a_loop_that_is_closed_before_it_ran_what_it_was_given_holds_up_nobody(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()

    async def callback(_: Event) -> None: ...

    box = Box(pool, callback, loop=loop)
    box.put(1)
    assert comes_true(lambda: box.mailbox.parked_on, pool)
    loop.close()
    assert pool.settle(1, PATIENCE) == []
    assert box.mailbox.delivery.failed == 1
    assert "closed" in box.mailbox.delivery.last_error
    box.subscription.loop, told = None, threading.Event()
    box.subscription.call = lambda _: told.set()
    box.put(2)
    assert told.wait(PATIENCE)


def test_events_that_were_handed_over_with_one_that_was_cancelled_are_told(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    async def callback(each: Event) -> None:
        told.append(each.revision)
        if each.revision % 3 == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())
        box.put(*range(1, 101))
        assert await asyncio.to_thread(pool.settle, 100, PATIENCE) == []
        assert box.mailbox.delivery.failed == 33

    asyncio.run(main())
    assert told == list(range(1, 101))


# The end.


def test_closing_waits_for_a_callback_under_way_and_starts_no_other(
    blocked: Callable[[], Blocked],
) -> None:
    pool, callback = WorkerPool(), blocked()
    box = Box(pool, callback)
    box.put(1, 2, 3)
    assert callback.has_begun()
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
    Box(pool, callback).put(1)
    assert callback.has_begun()
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
    box = Box(pool, callback)
    box.put(1)
    assert callback.has_begun()
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


# What goes wrong on the way back to the live events.


class Lagging(Box):
    def __init__(self, pool: WorkerPool, refill: Callable[[Mailbox], None]) -> None:
        super().__init__(pool, print, "Luis")
        self.mailbox._refill = refill  # type: ignore[assignment]  # its argument has no name
        self.mailbox.lag_from = 1


def test_a_mailbox_whose_way_back_is_gone_is_closed_and_logged(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    def refill(_: Mailbox) -> None:
        raise ConnectionFailed("gone")

    box = Lagging(pool, refill)
    box.put()
    assert comes_true(lambda: not box.mailbox.scheduled, pool)
    assert box.mailbox.closed
    assert "'Luis' gets no more events" in caplog.text
    assert pool.settle(9, PATIENCE) == []


def test_a_mailbox_whose_watcher_is_closed_ends_without_a_word(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    def refill(_: Mailbox) -> None:
        raise StoreClosed("closed")

    box = Lagging(pool, refill)
    box.put()
    assert comes_true(lambda: not box.mailbox.scheduled, pool)
    assert box.mailbox.closed
    assert caplog.records == []


def test_a_defect_on_the_way_back_ends_that_mailbox_and_no_worker(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    def refill(_: Mailbox) -> None:
        raise ZeroDivisionError("a defect")

    box = Lagging(pool, refill)
    box.put()
    assert comes_true(lambda: not box.mailbox.scheduled, pool)
    assert box.mailbox.closed
    assert "ZeroDivisionError: a defect" in caplog.text
    told = threading.Event()
    Box(pool, lambda _: told.set()).put(1)
    assert told.wait(PATIENCE)
