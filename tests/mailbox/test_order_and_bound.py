"""One subscriber's mailbox: its order, its bound, and catching up."""

from __future__ import annotations

from collections import deque

import pytest

from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from tests.fake_store import event
from tests.mailbox.parts import BOUND, drain, no_refill, not_parked, run, subscribe


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


def test_the_queue_of_a_new_mailbox_is_empty_and_costs_nothing() -> None:
    mailbox = Mailbox("who", no_refill, None)
    assert mailbox.queue == deque()
    assert not mailbox.has_more()
    assert run(mailbox, not_parked) == "idle"
