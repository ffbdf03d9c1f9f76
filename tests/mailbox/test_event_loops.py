"""Callbacks that run on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from etcd_watcher.event import Event
from etcd_watcher.mailbox import LOOP_CHUNK, Mailbox
from tests.fake_store import PATIENCE, event
from tests.mailbox.parts import drain, no_refill, run, subscribe, watched


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
