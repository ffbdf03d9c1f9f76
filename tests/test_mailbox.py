"""One subscriber's mailbox: order, its bound, catching up, and what a failing callback does."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from etcd_watcher import mailbox as module
from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import LOOP_CHUNK, SLICE, Mailbox
from etcd_watcher.onlooker import attend
from etcd_watcher.subscriber import Subscription
from tests.fake_store import PATIENCE, event

BOUND = 5


class Clock:
    """Stands still unless a callback takes its time."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def run(mailbox: Mailbox, parked: Callable[[], None]) -> str:
    """Empty it as a worker does whose slice begins now."""
    return mailbox.run(parked, vars(module)["time"].perf_counter())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make mailboxes lag behind a few events."""
    monkeypatch.setattr(module, "MAILBOX_EVENTS", BOUND)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Have Python switch between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def no_refill(mailbox: Mailbox) -> None:
    pytest.fail("there was nothing to catch up with")


def not_parked() -> None:
    pytest.fail("no loop had it")


def drain(mailbox: Mailbox) -> None:
    """Run it until there is nothing more; one run ends with its slice of time."""
    while mailbox.has_more() and not mailbox.closed:
        run(mailbox, not_parked)


def subscribe(
    mailbox: Mailbox,
    call: Callable[[Event], Any],
    key: bytes = b"k",
    *,
    prefix: bool = False,
    start: int = 0,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Subscription:
    scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
    made = Subscription(key.decode(), scope, prefix, "who", call, loop, start)
    mailbox.add(made)
    return made


def test_events_are_told_in_the_order_in_which_they_came() -> None:
    mailbox, told = Mailbox("who", no_refill, None), list[Event]()
    first = subscribe(mailbox, told.append)
    second = subscribe(mailbox, told.append, b"other")
    for revision in range(1, 100):
        mailbox.offer(event(revision), (first, second)[revision % 2])
    drain(mailbox)
    assert [each.revision for each in told] == list(range(1, 100))
    assert mailbox.delivery.delivered == 99


def test_an_event_that_finds_it_full_makes_it_lag_from_there(small: None) -> None:
    mailbox = Mailbox("who", no_refill, None)
    subscription = subscribe(mailbox, print)
    for revision in range(10, 10 + BOUND):
        mailbox.offer(event(revision), subscription)
        assert mailbox.lag_from is None
    mailbox.offer(event(15), subscription)
    assert mailbox.lag_from == 15
    mailbox.offer(event(16), subscription)  # passed by: it comes with the catching up
    assert mailbox.lag_from == 15
    assert [each.revision for each, _ in mailbox.queue] == [10, 11, 12, 13, 14]


def test_a_transaction_is_not_split_at_the_bound(small: None) -> None:
    mailbox = Mailbox("who", no_refill, None)
    subscription = subscribe(mailbox, print)
    for revision in range(1, BOUND):
        mailbox.offer(event(revision), subscription)
    for number in range(BOUND):
        mailbox.offer(event(9, f"key-{number}"), subscription)
    assert mailbox.lag_from is None
    assert len(mailbox.queue) == 2 * BOUND - 1
    mailbox.offer(event(10), subscription)
    assert mailbox.lag_from == 10
    for number in range(BOUND):  # nor is one that did not fit let in later, in part
        mailbox.queue.clear()
        mailbox.offer(event(10, f"key-{number}"), subscription)
    assert not mailbox.queue


def test_a_lagging_mailbox_is_refilled_once_its_queue_is_empty(small: None) -> None:
    log: list[object] = []

    def refill(mailbox: Mailbox) -> None:
        assert not mailbox.queue
        log.append(("refill", mailbox.lag_from))
        if mailbox.lag_from == 6:
            mailbox.queue.extend((event(revision), subscription) for revision in (6, 7))
            mailbox.lag_from = 8
        else:
            mailbox.lag_from = None

    mailbox = Mailbox("who", refill, None)
    subscription = subscribe(mailbox, lambda each: log.append(each.revision))
    for revision in range(1, 8):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert log == [1, 2, 3, 4, 5, ("refill", 6), 6, 7, ("refill", 8)]
    assert mailbox.lag_from is None
    mailbox.offer(event(9), subscription)  # it is live again
    assert len(mailbox.queue) == 1


def test_what_ends_the_refill_ends_the_run_and_leaves_it_settled_on_nothing(small: None) -> None:
    def refill(mailbox: Mailbox) -> None:
        raise StoreClosed("closed")

    mailbox = Mailbox("who", refill, None)
    mailbox.lag_from = 3
    with pytest.raises(StoreClosed):
        run(mailbox, not_parked)
    assert mailbox.settled(2)
    assert not mailbox.settled(3)


def test_it_matches_its_exact_key_and_its_prefixes_but_nothing_before_their_start() -> None:
    mailbox = Mailbox("who", no_refill, None)
    below = subscribe(mailbox, print, b"a/", prefix=True, start=5)
    exact = subscribe(mailbox, print, b"a/b", start=3)
    everything = subscribe(mailbox, print, b"", prefix=True, start=9)
    assert mailbox.match(event(10, "a/b")) == [exact, below, everything]
    assert mailbox.match(event(6, "a/b")) == [exact, below]
    assert mailbox.match(event(5, "a/b")) == [exact]
    assert mailbox.match(event(3, "a/b")) == []
    assert mailbox.match(event(10, "a/c")) == [below, everything]
    assert mailbox.match(event(10, "b")) == [everything]


def test_a_subscription_is_found_by_exactly_its_range_and_kind() -> None:
    mailbox = Mailbox("who", no_refill, None)
    exact = subscribe(mailbox, print, b"a")
    prefix = subscribe(mailbox, print, b"a", prefix=True)
    assert len(mailbox) == 2
    assert mailbox.find(KeyRange.of_key(b"a"), prefix=False) is exact
    assert mailbox.find(KeyRange.of_prefix(b"a"), prefix=True) is prefix
    assert mailbox.find(KeyRange.of_prefix(b"ab"), prefix=True) is None
    assert mailbox.find(KeyRange.of_key(b"ab"), prefix=False) is None
    mailbox.remove(exact)
    mailbox.remove(prefix)
    assert len(mailbox) == 0
    assert mailbox.find(KeyRange.of_key(b"a"), prefix=False) is None


def test_what_waits_for_a_subscription_that_ended_is_dropped() -> None:
    mailbox, told = Mailbox("who", no_refill, None), list[Event]()
    gone, stays = subscribe(mailbox, told.append, b"gone"), subscribe(mailbox, told.append)
    for revision in range(1, 5):
        mailbox.offer(event(revision), (stays, gone)[revision % 2])
    mailbox.remove(gone)
    drain(mailbox)
    assert [each.revision for each in told] == [2, 4]
    assert mailbox.delivery.delivered == 2


def test_a_closed_mailbox_calls_nobody_any_more() -> None:
    mailbox, told = Mailbox("who", no_refill, None), list[Event]()

    def close(each: Event) -> None:
        told.append(each)
        mailbox.closed = True

    subscription = subscribe(mailbox, close)
    for revision in range(1, 5):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert len(told) == 1


# Time.


def test_it_keeps_a_worker_for_a_slice_of_time_and_then_says_that_there_is_more(
    clock: Clock,
) -> None:
    mailbox, told = Mailbox("who", no_refill, None), list[Event]()

    def take_some_time(each: Event) -> None:
        told.append(each)
        clock.now += SLICE / 10

    subscription = subscribe(mailbox, take_some_time)
    for revision in range(1, 16):
        mailbox.offer(event(revision), subscription)
    assert run(mailbox, not_parked) == "more"
    assert 9 <= len(told) <= 11
    assert run(mailbox, not_parked) == "idle"
    assert len(told) == 15


def test_callbacks_that_take_long_make_it_slow_until_they_are_quick_again(clock: Clock) -> None:
    takes = SLICE
    mailbox = Mailbox("who", no_refill, None)

    def callback(_: Event) -> None:
        clock.now += takes

    subscription = subscribe(mailbox, callback)
    assert not mailbox.slow
    mailbox.offer(event(1), subscription)
    run(mailbox, not_parked)
    assert mailbox.slow
    run(mailbox, not_parked)  # with nothing to tell, there is nothing to learn
    assert mailbox.slow
    takes = SLICE / 100
    mailbox.offer(event(2), subscription)
    run(mailbox, not_parked)
    assert not mailbox.slow


def test_many_quick_callbacks_that_fill_a_slice_do_not_make_it_slow(clock: Clock) -> None:
    mailbox = Mailbox("who", no_refill, None)

    def callback(_: Event) -> None:
        clock.now += SLICE / 20

    subscription = subscribe(mailbox, callback)
    for revision in range(1, 100):
        mailbox.offer(event(revision), subscription)
    assert run(mailbox, not_parked) == "more"
    assert not mailbox.slow


# Failures.


def failing(mailbox: Mailbox, message: str) -> Subscription:
    def callback(_: Event) -> None:
        raise ValueError(message)

    return subscribe(mailbox, callback)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_may_raise_anything_and_the_next_event_is_told(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox, told = Mailbox("Luis", no_refill, None), list[int]()

    def callback(each: Event) -> None:
        told.append(each.revision)
        raise error

    subscription = subscribe(mailbox, callback)
    for revision in (1, 2, 3):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert told == [1, 2, 3]
    assert (mailbox.delivery.delivered, mailbox.delivery.failed) == (0, 3)
    assert type(error).__name__ in mailbox.delivery.last_error
    assert "callback" in mailbox.delivery.last_error  # the traceback names the function
    assert mailbox.settled(3)


def test_an_error_is_logged_once_with_who_what_and_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox = Mailbox("Luis", no_refill, None)
    subscription = failing(mailbox, "bad")
    for revision in range(1, 50):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert mailbox.delivery.failed == 49
    (record,) = caplog.records
    assert record.name == "etcd_watcher"
    assert record.levelno == logging.ERROR
    for part in ("'Luis'", "revision=1)", "ValueError: bad", "Traceback"):
        assert part in caplog.text


def test_errors_that_differ_are_logged_each_up_to_a_bound(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox = Mailbox("Luis", no_refill, None)

    def callback(each: Event) -> None:
        raise ValueError(f"number {each.revision}")

    subscription = subscribe(mailbox, callback)
    for revision in range(1, module.ERRORS_SHOWN + 50):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert mailbox.delivery.failed == module.ERRORS_SHOWN + 49
    assert len(caplog.records) == module.ERRORS_SHOWN
    assert "number 149" in mailbox.delivery.last_error


def test_a_subscriber_whose_repr_fails_does_not_stop_the_others_news(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    mailbox, told = Mailbox(Nameless(), no_refill, None), list[Event]()
    bad = failing(mailbox, "bad")
    good = subscribe(mailbox, told.append, b"other")
    mailbox.offer(event(1), bad)
    mailbox.offer(event(2), good)
    logger = logging.getLogger("etcd_watcher")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        drain(mailbox)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert len(told) == 1
    assert mailbox.delivery.failed == 1


def test_a_plain_callback_that_gives_a_coroutine_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def later() -> None: ...

    mailbox = Mailbox("Luis", no_refill, None)
    mailbox.offer(event(1), subscribe(mailbox, lambda _: later()))
    drain(mailbox)
    assert (mailbox.delivery.delivered, mailbox.delivery.failed) == (0, 1)
    assert "register the `async def` itself" in mailbox.delivery.last_error


# Settled.


def test_what_waits_and_what_is_being_told_is_not_settled() -> None:
    mailbox, during = Mailbox("who", no_refill, None), list[bool]()
    subscription = subscribe(mailbox, lambda _: during.append(mailbox.settled(5)))
    assert mailbox.settled(5)
    mailbox.offer(event(5), subscription)
    assert not mailbox.settled(5)
    assert mailbox.settled(4)
    drain(mailbox)
    assert during == [False]
    assert mailbox.settled(5)


def test_what_is_still_to_be_caught_up_with_is_not_settled(small: None) -> None:
    mailbox = Mailbox("who", no_refill, None)
    mailbox.lag_from = 5
    assert not mailbox.settled(5)
    assert mailbox.settled(4)


class Watched(deque[tuple[Event, Subscription]]):
    """A queue that does something as soon as an event has been taken out of it."""

    then: Callable[[], object]

    def popleft(self) -> tuple[Event, Subscription]:
        item = super().popleft()
        self.then()
        return item


def watched(mailbox: Mailbox, then: Callable[[], object]) -> Watched:
    queue = Watched(mailbox.queue)
    queue.then = then
    return queue


def test_an_event_is_not_settled_between_the_queue_and_its_callback() -> None:
    mailbox, answers = Mailbox("who", no_refill, None), list[bool]()
    mailbox.offer(event(5), subscribe(mailbox, lambda _: None))
    mailbox.queue = watched(mailbox, lambda: answers.append(mailbox.settled(5)))
    drain(mailbox)
    assert answers == [False]
    assert mailbox.settled(5)


class Traffic:
    """A mailbox, the journal that it catches up from, and a count of what came out of it."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.lock = threading.Lock()
        """The demux's."""
        self.history: list[Event] = []
        self.offered = self.delivered = 0
        self.work = threading.Semaphore(0)
        self.done = threading.Event()
        self.mailbox = Mailbox("who", self.refill, None)
        self.subscription = subscribe(self.mailbox, self.callback)
        self.true_answers = self.answers = 0
        self.lies: list[str] = []

    def refill(self, mailbox: Mailbox) -> None:
        with self.lock:
            start = mailbox.lag_from
            assert start is not None
            batch = self.history[start - 1 : start + 2]
            mailbox.queue.extend((each, self.subscription) for each in batch)
            at_end = start + 2 >= len(self.history)
            mailbox.lag_from = None if at_end else start + 3

    def callback(self, each: Event) -> None:
        assert each.revision == self.delivered + 1
        self.delivered = each.revision

    def offer_all(self) -> None:
        for revision in range(1, self.last + 1):
            with self.lock:
                self.history.append(event(revision))
                self.mailbox.offer(self.history[-1], self.subscription)
            self.offered = revision
            self.work.release()

    def consume(self) -> None:
        while self.delivered < self.last and self.work.acquire(timeout=PATIENCE):
            drain(self.mailbox)
        self.done.set()

    def ask(self) -> None:
        while not self.done.is_set():
            revision = self.offered
            self.answers += 1
            if self.mailbox.settled(revision):
                self.true_answers += 1
                if self.delivered < revision:
                    self.lies.append(f"settled up to {revision}, told up to {self.delivered}")


@pytest.mark.usefixtures("eager_threads", "small")
def test_it_never_says_settled_while_an_event_is_on_its_way() -> None:
    """Three threads ask, without a pause, while one puts events in and one takes them out."""
    traffic = Traffic(4000)
    jobs = (traffic.consume, traffic.ask, traffic.ask, traffic.ask)
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    traffic.offer_all()
    for thread in threads:
        thread.join(PATIENCE)
    assert traffic.lies == []
    assert traffic.mailbox.delivery.failed == 0
    assert traffic.delivered == traffic.last
    assert 0 < traffic.true_answers < traffic.answers


# Event loops.


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


class Parking:
    """Runs a mailbox as a worker would, and again each time that a loop has given it back."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.given_back = threading.Semaphore(0)

    def run_until_idle(self) -> None:
        while self.mailbox.has_more():
            if run(self.mailbox, self.given_back.release) == "parked":
                assert self.given_back.acquire(timeout=PATIENCE)


def test_async_callbacks_run_on_their_loop_one_at_a_time_and_in_order(
    loop: asyncio.AbstractEventLoop,
) -> None:
    mailbox = Mailbox("who", no_refill, None)
    log: list[tuple[str, int]] = []

    async def callback(each: Event) -> None:
        assert asyncio.get_running_loop() is loop
        log.append(("begin", each.revision))
        await asyncio.sleep(0)
        log.append(("end", each.revision))

    subscription = subscribe(mailbox, callback, loop=loop)
    count = LOOP_CHUNK * 2 + 10
    for revision in range(count):
        mailbox.offer(event(revision), subscription)
    Parking(mailbox).run_until_idle()
    assert log == [(step, revision) for revision in range(count) for step in ("begin", "end")]
    assert mailbox.delivery.delivered == count
    assert mailbox.settled(count)
    assert mailbox.parked_on is None


def test_plain_and_async_callbacks_of_one_subscriber_keep_their_order(
    loop: asyncio.AbstractEventLoop,
) -> None:
    mailbox, told = Mailbox("who", no_refill, None), list[int]()

    async def later(each: Event) -> None:
        await asyncio.sleep(0)
        told.append(each.revision)

    on_loop = subscribe(mailbox, later, b"a", loop=loop)
    plain = subscribe(mailbox, lambda each: told.append(each.revision), b"b")
    for revision in range(100):
        mailbox.offer(event(revision), (plain, on_loop)[revision // 3 % 2])
    Parking(mailbox).run_until_idle()
    assert told == list(range(100))


def test_a_plain_callback_may_run_on_the_loop_too(loop: asyncio.AbstractEventLoop) -> None:
    mailbox, threads = Mailbox("who", no_refill, None), list[bool]()
    subscription = subscribe(
        mailbox, lambda _: threads.append(asyncio.get_running_loop() is loop), loop=loop
    )
    mailbox.offer(event(1), subscription)
    Parking(mailbox).run_until_idle()
    assert threads == [True]


def test_while_a_loop_has_events_they_are_not_settled(loop: asyncio.AbstractEventLoop) -> None:
    mailbox = Mailbox("who", no_refill, None)
    begun, go_on = threading.Event(), asyncio.Event()

    async def callback(_: Event) -> None:
        begun.set()
        await go_on.wait()

    subscription = subscribe(mailbox, callback, loop=loop)
    for revision in (1, 2, 3):
        mailbox.offer(event(revision), subscription)
    parking = Parking(mailbox)
    assert run(mailbox, parking.given_back.release) == "parked"
    assert begun.wait(PATIENCE)
    assert mailbox.settled(0)
    assert not mailbox.settled(1)
    assert mailbox.parked_on is loop
    loop.call_soon_threadsafe(go_on.set)
    assert parking.given_back.acquire(timeout=PATIENCE)
    assert mailbox.settled(3)


def test_an_event_is_not_settled_between_the_queue_and_its_loop(
    loop: asyncio.AbstractEventLoop,
) -> None:
    mailbox, answers = Mailbox("who", no_refill, None), list[bool]()

    async def callback(_: Event) -> None: ...

    mailbox.offer(event(5), subscribe(mailbox, callback, loop=loop))
    mailbox.queue = watched(mailbox, lambda: answers.append(mailbox.settled(5)))
    Parking(mailbox).run_until_idle()
    assert answers == [False]
    assert mailbox.settled(5)


def test_an_async_callback_that_raises_is_counted_and_the_next_is_told(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Mailbox("Luis", no_refill, None)

    async def callback(each: Event) -> None:
        await asyncio.sleep(0)
        if each.revision % 2:
            raise ValueError("odd")

    subscription = subscribe(mailbox, callback, loop=loop)
    for revision in range(10):
        mailbox.offer(event(revision), subscription)
    Parking(mailbox).run_until_idle()
    assert (mailbox.delivery.delivered, mailbox.delivery.failed) == (5, 5)
    assert "ValueError: odd" in mailbox.delivery.last_error
    assert len(caplog.records) == 1


def test_a_closed_loop_is_a_failure_of_the_callback_and_holds_up_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox, told = Mailbox("who", no_refill, None), list[int]()
    closed = asyncio.new_event_loop()
    closed.close()
    on_loop = subscribe(mailbox, print, b"a", loop=closed)
    plain = subscribe(mailbox, lambda each: told.append(each.revision), b"b")
    for revision, subscription in enumerate((on_loop, on_loop, plain, on_loop, plain)):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert told == [2, 4]
    assert mailbox.delivery.failed == 3
    assert "closed" in mailbox.delivery.last_error
    assert mailbox.settled(9)


def test_a_task_that_is_cancelled_before_it_begins_gives_the_mailbox_back() -> None:
    mailbox = Mailbox("who", no_refill, None)
    given_back = threading.Event()
    loop = asyncio.new_event_loop()
    subscription = subscribe(mailbox, print, loop=loop)
    mailbox.offer(event(1), subscription)
    assert run(mailbox, given_back.set) == "parked"

    loop.call_soon(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    assert mailbox.delivery.delivered == 0
    assert given_back.is_set()
    assert mailbox.has_more()  # it is not lost: the next run delivers it, or says why not
    assert mailbox.parked_on is None


def test_the_queue_of_a_new_mailbox_is_empty_and_costs_nothing() -> None:
    mailbox = Mailbox("who", no_refill, None)
    assert mailbox.queue == deque()
    assert not mailbox.has_more()
    assert run(mailbox, not_parked) == "idle"


class Board:
    """A witness that keeps what it saw, and whose mailbox the code then belonged to."""

    def __init__(self, *, shows_failures: bool) -> None:
        self.saw: list[object] = []
        self._shows_failures = shows_failures

    def begin(self, mailbox: Mailbox) -> None:
        self.saw.append(("begin", mailbox.who))

    def end(self, mailbox: Mailbox) -> None:
        self.saw.append(("end", mailbox.who))

    def failed(self, mailbox: Mailbox, text: str) -> bool:
        error = sys.exception()
        self.saw.append(("failed", text.splitlines()[-1] if error is None else error))
        return self._shows_failures


@pytest.fixture
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    board = Board(shows_failures=getattr(request, "param", True))
    attend(board)
    yield board
    attend(None)


def test_a_witness_is_there_before_and_after_each_call(board: Board) -> None:
    mailbox = Mailbox("who", no_refill, None)
    subscription = subscribe(mailbox, lambda each: board.saw.append(each.revision))
    for revision in (1, 2):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    begin, end = ("begin", "who"), ("end", "who")
    assert board.saw == [begin, 1, end, begin, 2, end]
    attend(None)
    mailbox.offer(event(3), subscription)
    drain(mailbox)
    assert board.saw[6:] == [3]


@pytest.mark.parametrize("board", [True, False], indirect=True)
def test_a_failure_that_the_witness_shows_is_not_logged(
    board: Board, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("no number")

    def fail(_: Event) -> None:
        raise error

    mailbox = Mailbox("who", no_refill, None)
    mailbox.offer(event(1), subscribe(mailbox, fail))
    drain(mailbox)
    assert board.saw == [("begin", "who"), ("failed", error), ("end", "who")]
    assert mailbox.delivery.failed == 1
    assert "no number" in mailbox.delivery.last_error
    shown = request.node.callspec.params["board"]
    assert len(caplog.records) == (0 if shown else 1)


def test_a_witness_sees_async_callbacks_to_their_end(board: Board) -> None:
    error = ValueError("late")

    async def tell(each: Event) -> None:
        await asyncio.sleep(0)
        board.saw.append(each.revision)
        if each.revision == 2:
            raise error

    async def main() -> None:
        mailbox = Mailbox("who", no_refill, None)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        subscription = subscribe(mailbox, tell, loop=loop)
        for revision in (1, 2):
            mailbox.offer(event(revision), subscription)
        assert run(mailbox, done.set) == "parked"
        await done.wait()

    asyncio.run(main())
    begin, end = ("begin", "who"), ("end", "who")
    assert board.saw == [begin, 1, end, begin, 2, ("failed", error), end]


def test_a_witness_is_told_of_a_coroutine_that_nobody_awaits(board: Board) -> None:
    async def tell(_: Event) -> None:
        pytest.fail("nobody awaits it")

    mailbox = Mailbox("who", no_refill, None)
    mailbox.offer(event(1), subscribe(mailbox, lambda each: tell(each)))  # noqa: PLW0108
    drain(mailbox)
    assert [each[0] for each in board.saw] == ["begin", "failed", "end"]  # type: ignore[index]
