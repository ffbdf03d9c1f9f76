"""How long a mailbox keeps its worker, and when its callbacks count as slow."""

from __future__ import annotations

from etcd_watcher.event import Event
from etcd_watcher.mailbox import SLICE, Mailbox
from tests.fake_store import event
from tests.mailbox.parts import Clock, no_refill, not_parked, run, subscribe


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
