"""One event for many: told straight, with nothing put in their mailboxes, and the same promises."""

from __future__ import annotations

import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from etcd_watcher import bundle, dispatch
from etcd_watcher.bundle import TIMED_TOGETHER
from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import MAX_WORKERS, WorkerPool
from etcd_watcher.event import Event
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import DELIVERING, Mailbox
from etcd_watcher.onlooker import attend
from etcd_watcher.pool import Pool
from etcd_watcher.router import Route
from etcd_watcher.subscriber import Subscription
from etcd_watcher.turns import Turns
from tests.fake_store import PATIENCE, event

MANY = 100


class Line:
    """A demux with a pool, and subscribers of the key "k"."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.demux = Demux(Journal(), pool)
        self.mailboxes: list[Mailbox] = []
        self.routes: dict[bool, Route] = {}
        for prefix in (False, True):
            scope = KeyRange.of_prefix(b"k") if prefix else KeyRange.of_key(b"k")
            self.routes[prefix] = Route("k", scope, prefix)
            self.demux.router.add(self.routes[prefix])

    def subscribe(
        self, call: Callable[[Event], Any], mailbox: Mailbox | None = None, *, prefix: bool = False
    ) -> Subscription:
        if mailbox is None:
            mailbox = Mailbox(f"number {len(self.mailboxes)}", self.refill, None)
            self.mailboxes.append(mailbox)
        route = self.routes[prefix]
        made = Subscription("k", route.scope, prefix, mailbox.who, call)
        mailbox.add(made)
        route.subscriptions.append((made, mailbox))
        return made

    def refill(self, mailbox: Mailbox) -> None:
        assert self.demux.refill_from_journal(mailbox, 1000)

    def publish(self, *revisions: int) -> None:
        with self.demux.lock:
            self.demux.publish([event(each) for each in revisions])

    def settle(self, revision: int) -> None:
        assert self.pool.settle(revision, PATIENCE) == []


@pytest.fixture
def line() -> Iterator[Line]:
    pool = WorkerPool()
    yield Line(pool)
    pool.close(PATIENCE)
    assert not [each for each in pool._workers if each.is_alive()]


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """Give what blocked callbacks wait for; it comes at the end, whatever happens."""
    go_on = threading.Event()
    yield go_on
    go_on.set()


def test_nothing_is_put_in_the_mailboxes(line: Line, go_on: threading.Event) -> None:
    begun = threading.Semaphore(0)

    def call(_: Event) -> None:
        begun.release()
        go_on.wait(3 * PATIENCE)

    for _ in range(3):
        line.subscribe(call)
    line.publish(1)
    assert begun.acquire(timeout=PATIENCE)
    assert not any(each.queue for each in line.mailboxes)
    # And still one sees that they have not been told.
    assert not any(each.settled(1) for each in line.mailboxes)
    assert all(each.settled(0) for each in line.mailboxes)
    assert len(line.pool.settle(1, 0)) == 3
    go_on.set()
    line.settle(1)
    assert all(each.settled(1) for each in line.mailboxes)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("seed", range(3))
def test_each_is_told_all_in_order_and_by_one_thread_at_a_time(line: Line, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - a test's
    told: list[list[int]] = [[] for _ in range(MANY)]
    inside = [0] * MANY
    overlaps: list[int] = []

    def teller(number: int) -> Callable[[Event], None]:
        def call(each: Event) -> None:
            inside[number] += 1
            if inside[number] != 1:
                overlaps.append(number)
            told[number].append(each.revision)
            if number == revision % MANY:
                threading.Event().wait(0.002)  # slow: it goes to another worker, and comes back
            inside[number] -= 1

        return call

    for number in range(MANY):
        line.subscribe(teller(number))
    revision = early = 0
    for _ in range(60):
        count = draw.choice([1, 1, 1, 1, 2, 5])
        line.publish(*range(revision + 1, revision + count + 1))
        revision += count
        if draw.random() < 0.2:
            line.settle(revision)
            early += sum(each[-1] != revision for each in told)
    line.settle(revision)
    assert overlaps == []
    assert early == 0
    assert told == [list(range(1, revision + 1))] * MANY
    assert [each.delivery.delivered for each in line.mailboxes] == [revision] * MANY
    assert not any(each.scheduled or each.queue for each in line.mailboxes)


@pytest.mark.usefixtures("eager_threads")
def test_no_event_is_forgotten_where_one_comes_as_the_last_is_told(line: Line) -> None:
    told, came = list[int](), threading.Semaphore(0)

    def call(each: Event) -> None:
        told.append(each.revision)
        came.release()

    line.subscribe(call)
    for revision in range(1, 3001):
        line.publish(revision)
        assert came.acquire(timeout=PATIENCE)  # it is told, but perhaps not yet let go of
    assert told == list(range(1, 3001))


def test_what_comes_meanwhile_is_told_after_it(line: Line, go_on: threading.Event) -> None:
    told, begun = list[int](), threading.Event()

    def call(each: Event) -> None:
        begun.set()
        go_on.wait(3 * PATIENCE)
        told.append(each.revision)

    line.subscribe(call)
    line.publish(1)
    assert begun.wait(PATIENCE)
    line.publish(2)
    line.publish(3, 4)
    line.publish(5)
    go_on.set()
    line.settle(5)
    assert told == [1, 2, 3, 4, 5]


def test_what_is_in_a_mailbox_that_nobody_has_yet_is_told_before_it(line: Line) -> None:
    told = list[int]()
    made = line.subscribe(lambda each: told.append(each.revision))
    line.mailboxes[0].queue.append((event(1), made))  # as a worker finds that has just let go of it
    line.publish(2)
    line.settle(2)
    assert told == [1, 2]


def test_who_lags_is_told_what_is_missing_before_it(line: Line) -> None:
    told = list[int]()
    line.subscribe(lambda each: told.append(each.revision))
    line.demux.journal.append([event(1), event(2)])
    line.mailboxes[0].lag_from = 1
    line.publish(3)
    line.settle(3)
    assert told == [1, 2, 3]


def test_who_is_known_to_be_slow_delays_nobody_at_all(
    line: Line, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE", 3600.0)  # nobody takes a turn away
    told = threading.Event()
    line.subscribe(lambda _: go_on.wait(3 * PATIENCE))
    line.subscribe(lambda _: told.set())
    line.mailboxes[0].slow = True
    line.publish(1)
    assert told.wait(PATIENCE)
    assert not go_on.is_set()


def test_who_asked_for_the_key_and_its_prefix_is_told_by_both_in_this_order(line: Line) -> None:
    told = list[str]()
    line.subscribe(lambda _: told.append("key"))
    line.subscribe(lambda _: told.append("prefix"), line.mailboxes[0], prefix=True)
    for revision in (1, 2):
        line.publish(revision)
        line.settle(revision)
    assert told == ["key", "prefix"] * 2


def test_a_blocked_callback_delays_nobody_and_counts_as_slow(
    line: Line, go_on: threading.Event
) -> None:
    others = threading.Semaphore(0)

    def blocks(_: Event) -> None:
        go_on.wait(3 * PATIENCE)

    def quick(_: Event) -> None:
        others.release()

    for number in range(MANY):
        line.subscribe(blocks if number == MANY // 2 else quick)
    line.publish(1)
    for _ in range(MANY - 1):
        assert others.acquire(timeout=PATIENCE)
    assert not go_on.is_set()
    assert line.mailboxes[MANY // 2].slow
    assert line.pool.settle(1, 0) == [line.mailboxes[MANY // 2]]
    go_on.set()
    line.settle(1)


def test_slow_callbacks_are_found_though_several_are_timed_together(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(MANY):
        line.subscribe(lambda _: None)
    # However slow the machine is, nobody takes the turn.
    monkeypatch.setattr(dispatch, "PATIENCE", 3600.0)
    monkeypatch.setattr(bundle, "SLOW", -1.0)
    line.publish(1)
    line.settle(1)
    slow = [each.slow for each in line.mailboxes]
    assert slow == [False] * TIMED_TOGETHER + [True] * (MANY - TIMED_TOGETHER)
    line.publish(2)
    line.settle(2)
    assert all(each.slow for each in line.mailboxes[:TIMED_TOGETHER])


@pytest.mark.filterwarnings("error")
def test_errors_results_and_coroutines_are_counted_as_ever(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    async def coroutine() -> None: ...

    line.subscribe(lambda _: sys.exit("out"))
    line.subscribe(lambda _: "a result")
    line.subscribe(lambda _: coroutine())
    line.subscribe(lambda _: None)
    line.publish(1)
    line.settle(1)
    found = [(each.delivery.delivered, each.delivery.failed) for each in line.mailboxes]
    assert found == [(0, 1), (1, 0), (0, 1), (1, 0)]
    assert "SystemExit: out" in line.mailboxes[0].delivery.last_error
    assert "a callback of 'number 0' failed on Event(PUT 'k'" in caplog.text
    assert "async def" in line.mailboxes[2].delivery.last_error
    line.publish(2)
    line.settle(2)
    assert line.mailboxes[0].delivery.failed == 2


def test_a_defect_of_ours_ends_that_mailbox_and_no_worker(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()
    line.subscribe(lambda _: sys.exit("out"))
    line.subscribe(lambda _: told.set())
    monkeypatch.setattr(Mailbox, "failed", lambda *_: 1 / 0)
    line.publish(1)
    line.settle(1)
    assert told.is_set()
    assert [each.closed for each in line.mailboxes] == [True, False]
    assert "gets no more events" in caplog.text


def test_who_has_left_meanwhile_is_told_nothing(line: Line, go_on: threading.Event) -> None:
    told, begun = list[int](), threading.Event()

    def first(_: Event) -> None:
        begun.set()
        leaves.ended = True
        line.mailboxes[2].closed = True

    line.subscribe(first)
    leaves = line.subscribe(lambda _: told.append(1))
    line.subscribe(lambda _: told.append(2))
    line.subscribe(lambda _: told.append(3))
    line.publish(1)
    line.settle(1)
    assert begun.is_set()
    assert told == [3]


def test_each_callback_runs_in_its_subscribers_context(line: Line) -> None:
    own: ContextVar[int] = ContextVar("own", default=0)
    found: list[tuple[Mailbox | None, int]] = []

    def call(_: Event) -> None:
        found.append((DELIVERING.get(), own.get()))
        own.set(own.get() + 1)

    for _ in range(3):
        line.subscribe(call)
    for revision in (1, 2):
        line.publish(revision)
        line.settle(revision)
    assert found == [(each, before) for before in (0, 1) for each in line.mailboxes]


def test_who_stands_by_sees_each_begin_and_end(line: Line) -> None:
    seen: list[tuple[str, Mailbox]] = []

    class Onlooker:
        def begin(self, mailbox: Mailbox) -> None:
            assert DELIVERING.get() is mailbox
            seen.append(("begin", mailbox))

        def end(self, mailbox: Mailbox) -> None:
            seen.append(("end", mailbox))

        def failed(self, mailbox: Mailbox, text: str) -> bool:
            assert "ZeroDivisionError" in text
            seen.append(("failed", mailbox))
            return True

    line.subscribe(lambda _: None)
    line.subscribe(lambda _: 1 / 0)
    assert weakref.WeakSet(line.mailboxes)  # a board holds them so
    attend(Onlooker())
    try:
        line.publish(1)
        line.settle(1)
    finally:
        attend(None)
    a, b = line.mailboxes
    assert seen == [("begin", a), ("end", a), ("begin", b), ("failed", b), ("end", b)]


def test_a_journal_that_fails_leaves_nobody_waiting_for_ever(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[int]()
    line.subscribe(lambda each: told.append(each.revision))
    with monkeypatch.context() as patched:
        patched.setattr(line.demux.journal, "append", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            line.publish(1)
    line.publish(2)
    line.settle(2)
    assert told == [1, 2]


def test_closing_starts_no_other_callback(line: Line, go_on: threading.Event) -> None:
    told, begun = list[int](), threading.Semaphore(0)

    def call(_: Event) -> None:
        told.append(1)
        begun.release()
        go_on.wait(3 * PATIENCE)

    for _ in range(MAX_WORKERS + 5):
        line.subscribe(call)
    line.publish(1)
    for _ in range(MAX_WORKERS):  # then nobody is left to look on, and the last one has the rest
        assert begun.acquire(timeout=PATIENCE)
    line.pool.close(0)
    go_on.set()
    line.pool.close(PATIENCE)
    assert len(told) <= MAX_WORKERS


def test_a_replay_tells_them_one_after_the_other() -> None:
    turns, told = Turns(), list[tuple[int, int]]()
    line = Line(turns)

    def tell(number: int, each: Event) -> None:
        told.append((each.revision, number))

    try:
        for number in range(3):
            line.subscribe(partial(tell, number))
        for revision in (1, 2):
            line.publish(revision)
            line.settle(revision)
    finally:
        turns.close()
    assert told == [(revision, number) for revision in (1, 2) for number in range(3)]
