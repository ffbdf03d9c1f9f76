"""Who vouches for whom: one who was tried and was quick, for those who run the same code."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any
from unittest.mock import Mock

import pytest

from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription, code_of
from etcd_watcher.vouching import Vouchers
from tests.fake_store import event


class Kin:
    def __call__(self, _: Event) -> None: ...


class Stranger:
    def __call__(self, _: Event) -> None: ...


def told_once(who: Callable[[Event], object], *others: Callable[[Event], object]) -> Mailbox:
    """Give a mailbox that was never emptied, with an event for each of these."""

    def refill(mailbox: Mailbox) -> None:
        pytest.fail(f"nobody lags here: {mailbox}")

    mailbox = Mailbox(who, refill, None)
    for number, call in enumerate((who, *others)):
        key = b"k%d" % number
        scope = KeyRange.of_key(key)
        subscription = Subscription(
            f"k{number}", scope, prefix=False, who=who, call=call, code=code_of(call)
        )
        mailbox.add(subscription)
        mailbox.offer(event(number + 2, key), subscription)
    return mailbox


def is_emptied(mailbox: Mailbox, *, slow: bool = False) -> Mailbox:
    """Note what `Mailbox.run` does."""
    mailbox.queue.clear()
    mailbox.scheduled = False
    mailbox.ended, mailbox.slow = time.perf_counter(), slow
    return mailbox


@pytest.fixture
def vouchers() -> Vouchers:
    return Vouchers()


@pytest.fixture
def tried(vouchers: Vouchers) -> Mailbox:
    """One whose first call is a worker's now."""
    mailbox = told_once(Kin())
    assert not vouchers.vouch_for(mailbox)
    mailbox.scheduled = True
    return mailbox


def test_one_who_was_tried_vouches_for_all_who_run_its_code(
    vouchers: Vouchers, tried: Mailbox
) -> None:
    is_emptied(tried)
    others = [told_once(Kin()) for _ in range(3)]
    assert all(map(vouchers.vouch_for, others))
    assert not vouchers.vouch_for(told_once(Stranger()))


def test_not_before_its_first_call_has_returned(vouchers: Vouchers, tried: Mailbox) -> None:
    other = told_once(Kin())
    assert not vouchers.vouch_for(other)
    is_emptied(tried)
    assert vouchers.vouch_for(other)


def close(mailbox: Mailbox) -> None:
    is_emptied(mailbox).closed = True


def turn_slow(mailbox: Mailbox) -> None:
    is_emptied(mailbox, slow=True)


def be_let_go(mailbox: Mailbox) -> None:
    """As by an event loop that had the events behind the first one."""
    mailbox.scheduled = False


@pytest.mark.parametrize("cease", [close, turn_slow, be_let_go])
def test_where_it_cannot_the_next_one_is_tried_and_does(
    vouchers: Vouchers, tried: Mailbox, cease: Callable[[Mailbox], None]
) -> None:
    cease(tried)
    following = told_once(Kin())
    assert not vouchers.vouch_for(following)
    is_emptied(following)
    assert vouchers.vouch_for(told_once(Kin()))


def test_several_events_are_several_callbacks_for_all_that_one_knows(
    vouchers: Vouchers, tried: Mailbox
) -> None:
    is_emptied(tried)
    assert not vouchers.vouch_for(told_once(Kin(), Stranger()))
    assert vouchers.vouch_for(told_once(Kin()))


def test_what_runs_on_an_event_loop_is_not_ours_to_call(vouchers: Vouchers, tried: Mailbox) -> None:
    is_emptied(tried)
    other = told_once(Kin())
    other.queue[0][1].loop = Mock()
    assert not vouchers.vouch_for(other)


@pytest.mark.parametrize("by_one_vouched_for", [False, True])
def test_for_code_that_held_the_thread_up_nobody_vouches_for_a_while(
    vouchers: Vouchers, tried: Mailbox, *, by_one_vouched_for: bool
) -> None:
    is_emptied(tried)
    until = time.perf_counter() + 1000
    if by_one_vouched_for:
        other = told_once(Kin())
        assert vouchers.vouch_for(other)
        vouchers.bar(other, code_of(other.who), until)
    else:
        vouchers.bar(tried, None, until)
    for _ in range(3):
        another = told_once(Kin())
        assert not vouchers.vouch_for(another)
        is_emptied(another)


def test_and_then_only_one_who_was_tried_since(vouchers: Vouchers, tried: Mailbox) -> None:
    is_emptied(tried)
    vouchers.bar(told_once(Kin()), code_of(Kin()), time.perf_counter())
    following = told_once(Kin())
    assert not vouchers.vouch_for(following)
    is_emptied(following)
    assert vouchers.vouch_for(told_once(Kin()))


def test_one_that_held_it_up_bars_no_other_code(vouchers: Vouchers, tried: Mailbox) -> None:
    is_emptied(tried)
    vouchers.bar(told_once(Stranger()), code_of(Stranger()), time.perf_counter() + 1000)
    assert vouchers.vouch_for(told_once(Kin()))


def of_a_cell() -> Any:
    """Give a function whose code is nobody else's."""
    made: dict[str, Any] = {}
    exec("def tell(event): pass", made)  # noqa: S102 - what a notebook does
    return made["tell"]


def test_neither_code_nor_a_mailbox_is_kept(vouchers: Vouchers) -> None:
    tell = of_a_cell()
    mailbox = told_once(tell)
    assert not vouchers.vouch_for(mailbox)
    is_emptied(mailbox)
    assert vouchers.vouch_for(told_once(FunctionType(tell.__code__, {})))
    vouchers.bar(mailbox, tell.__code__, time.perf_counter() + 1000)
    assert not vouchers.vouch_for(told_once(tell))
    left = [weakref.ref(mailbox), weakref.ref(tell.__code__)]
    del mailbox, tell
    gc.collect()
    assert [each() for each in left] == [None, None]
    assert not vouchers._tried
    assert not vouchers._barred


def test_a_mailbox_that_is_gone_is_as_one_that_was_never_tried(vouchers: Vouchers) -> None:
    tell = of_a_cell()
    gone = told_once(tell)
    assert not vouchers.vouch_for(gone)
    is_emptied(gone)
    del gone
    gc.collect()
    following = told_once(tell)
    assert not vouchers.vouch_for(following)
    is_emptied(following)
    assert vouchers.vouch_for(told_once(tell))
