"""Whether all up to a revision has been delivered: never said too early."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher.event import Event
from etcd_watcher.mailbox import Mailbox
from tests.fake_store import PATIENCE, event
from tests.mailbox.parts import drain, no_refill, subscribe, watched


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
