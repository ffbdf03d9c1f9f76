"""What an event costs on its way from the wire to a callback, in counts and not in seconds.

Counted are calls, locks taken, wake-ups and memory blocks, for many events at once, on this thread
alone; or, where it matters who calls a callback, for one event after the other, on all threads. The
bounds have room for a change or two, and none for a lock, a wake-up or a copy for each event: the
tests at the end add one and see the guard say so. Whoever makes it cost less should lower the bound.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from etcd_watcher import bundle, dispatch
from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.event import Event
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.router import Route
from etcd_watcher.stores import v3_events, wire
from etcd_watcher.stores.v3_lineage import Lineage
from etcd_watcher.stores.v3_rows import rows
from etcd_watcher.stores.v3_target import Target
from etcd_watcher.stores.v3_values import Values
from etcd_watcher.subscriber import Subscription, code_of
from tests.fake_store import PATIENCE
from tests.fake_store import event as fake_event

EVENTS = 1000
SUBSCRIBERS = 500
EACH_FIRST = 300

# Each about a tenth above what it is today: 28.1 calls and 5.8 blocks an event, 4.4 and 0.1 a
# subscriber, 4 locks and 2 wake-ups whatever the number. Python 3.11 counts the most.
CALLS_AN_EVENT = 30
CALLS_A_SUBSCRIBER = 5
LOCKS_A_PUBLICATION = 8
WAKE_UPS_A_PUBLICATION = 4
BLOCKS_AN_EVENT = 6.5
CALLS_OF_ONE_EVENT = 140
LOCKS_OF_ONE_EVENT = 4
WAKE_UPS_OF_ONE_EVENT = 1
BLOCKS_A_SUBSCRIBER = 0.3
# Of what it is with 10 keys: 104.5 calls instead of 97.7; 148 where a worker calls each of them.
WITH_MANY_KEYS = 1.2


@pytest.fixture(autouse=True)
def time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a mailbox keep its worker, however slow the machine is."""
    monkeypatch.setattr(mailbox_module, "SLICE", 1e9)
    monkeypatch.setattr(mailbox_module, "SLOW", 1e9)
    monkeypatch.setattr(bundle, "SLOW", 1e9)


class CountedLock:
    """A lock that counts how often it was taken."""

    def __init__(self, counts: Counts, lock: Any) -> None:
        self._counts = counts
        self._lock = lock

    def acquire(self, *args: Any) -> bool:
        self._counts.locks += 1
        return bool(self._lock.acquire(*args))

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class CountedCondition(threading.Condition):
    """A condition that counts whom it woke, too."""

    def __init__(self, counts: Counts, lock: Any) -> None:
        super().__init__(lock)
        self._counts = counts

    def notify(self, n: int = 1) -> None:
        self._counts.wake_ups += 1
        super().notify(n)


@dataclass
class Counts:
    """What was counted."""

    calls: int = 0
    locks: int = 0
    wake_ups: int = 0
    blocks: int = 0


class Line:
    """Everything between the wire and the callbacks, without threads."""

    def __init__(self, subscribers: int) -> None:
        self.counts = Counts()
        self.told: list[Event] = []
        self.journal = Journal()
        self.pool = WorkerPool()
        self.pool._staff = lambda: None  # type: ignore[method-assign]  # no worker: we empty
        self.demux = Demux(self.journal, self.pool)
        lock = CountedLock(self.counts, threading.Lock())
        self.pool._work = CountedCondition(self.counts, lock)
        self.pool._let_go = CountedCondition(self.counts, lock)
        self.journal._changed = CountedCondition(
            self.counts, CountedLock(self.counts, threading.Lock())
        )
        self.demux.lock = CountedLock(self.counts, threading.RLock())  # type: ignore[assignment]
        self.route = Route("k", KeyRange.of_prefix(b"k"), prefix=True)
        self.demux.router.add(self.route)
        for _ in range(subscribers):
            self.subscribe(self.route, self.tell)

    def subscribe(self, route: Route, call: Callable[[Event], None]) -> None:
        mailbox = Mailbox(object(), self._no_refill, None)
        subscription = Subscription(
            route.key,
            route.scope,
            prefix=route.prefix,
            who=mailbox.who,
            call=call,
            code=code_of(call),
        )
        mailbox.add(subscription)
        route.subscriptions.append((subscription, mailbox))

    def tell(self, event: Event) -> None:
        self.told.append(event)

    @staticmethod
    def _no_refill(mailbox: Mailbox) -> None:
        pytest.fail(f"nobody lags here: {mailbox}")

    def carry(self, decode: Callable[[], list[Event]]) -> None:
        """Carry one response to the callbacks."""
        self.demux.publish(decode())
        while self.pool._quick:
            bundle = self.pool._quick.popleft()
            self.pool._work_through(bundle)
            del self.pool._bundles[bundle]

    def carry_alone(self, decode: Callable[[], list[Event]]) -> None:
        """Carry one response to the callbacks on the thread that has read it."""
        self.pool._looking = True
        self.demux.publish(decode(), relieve=lambda: pytest.fail("nobody is held up"))
        assert self.pool._loan.turn is not None
        self.demux.deliver()

    def count(self, decode: Callable[[], list[Event]]) -> Counts:
        """Count what carrying a response takes."""
        counts = self.counts

        def profile(_frame: FrameType, what: str, _arg: object) -> None:
            counts.calls += what in ("call", "c_call")

        gc.collect()
        counts.calls = counts.locks = counts.wake_ups = 0
        before = sys.getallocatedblocks()
        sys.setprofile(profile)
        try:
            self.carry(decode)
        finally:
            sys.setprofile(None)
        counts.blocks = sys.getallocatedblocks() - before
        return counts


def response(first: int, count: int) -> Any:
    made = wire.WatchResponse()
    for number in range(count):
        kv = made.events.add().kv
        kv.key, kv.value = b"k%03d" % (number % 100), b"value-%020d" % number
        kv.mod_revision, kv.create_revision = first + number, first + number % 100
        kv.version = number // 100 + 1
    return wire.WatchResponse.FromString(made.SerializeToString())


def live(first: int, count: int) -> Callable[[], list[Event]]:
    changes = response(first, count).events
    values = Values(NO_CONNECTION, wanted=True)
    (part,) = Target(ALL, first - 1, [ALL]).parts
    part.lineage = Lineage(NO_CONNECTION)

    def decode() -> list[Event]:
        events = values.decode(part, changes)
        assert not values.learn(part, events)
        return events

    return decode


def with_values_by_the_server(first: int, count: int) -> Callable[[], list[Event]]:
    changes = response(first, count).events
    return lambda: v3_events.decode(changes, first - 1, NO_CONNECTION)


def of_history(first: int, count: int) -> Callable[[], list[Event]]:
    changes = [each.kv for each in response(first, count).events]
    lineage = Lineage(NO_CONNECTION)
    return lambda: lineage.decode(rows(changes), first - 1, first + count)


NO_CONNECTION: Any = None
ALL = KeyRange.of_prefix(b"")


Decoder = Callable[[int, int], Callable[[], list[Event]]]
Spoiler = Callable[[Line], None]


def leave_as_it_is(_: Line) -> None:
    """Spoil nothing."""


def check_a_burst(decode: Decoder = live, spoil: Spoiler = leave_as_it_is) -> None:
    """Many events to one subscriber, in one response."""
    line = Line(subscribers=1)
    spoil(line)
    line.carry(decode(1, 10))  # what is made once
    counts = line.count(decode(100, EVENTS))
    assert len(line.told) == EVENTS + 10
    assert counts.calls <= CALLS_AN_EVENT * EVENTS
    assert counts.locks <= LOCKS_A_PUBLICATION
    assert counts.wake_ups <= WAKE_UPS_A_PUBLICATION
    assert counts.blocks <= BLOCKS_AN_EVENT * EVENTS


def check_a_fan_out(spoil: Spoiler = leave_as_it_is) -> None:
    """One event to many subscribers."""
    line = Line(SUBSCRIBERS)
    spoil(line)
    line.carry(live(1, 1))
    counts = line.count(live(2, 1))
    assert len(line.told) == 2 * SUBSCRIBERS
    assert counts.calls <= CALLS_A_SUBSCRIBER * SUBSCRIBERS
    assert counts.locks <= LOCKS_A_PUBLICATION
    assert counts.wake_ups <= WAKE_UPS_A_PUBLICATION
    assert counts.blocks <= BLOCKS_A_SUBSCRIBER * SUBSCRIBERS


@pytest.mark.parametrize("decode", [live, with_values_by_the_server, of_history])
def test_a_burst_takes_no_lock_and_no_wake_up_for_each_event(decode: Decoder) -> None:
    check_a_burst(decode)


def test_an_event_that_its_reader_tells_itself_wakes_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(subscribers=3)
    line.carry(live(1, 2))  # by a worker, the first time
    line.told.clear()
    line.carry_alone(live(3, 1))
    monkeypatch.setattr(line, "carry", line.carry_alone)
    counts = line.count(live(4, 1))
    assert len(line.told) == 6
    assert counts.calls <= CALLS_OF_ONE_EVENT
    assert counts.locks <= LOCKS_OF_ONE_EVENT
    assert counts.wake_ups <= WAKE_UPS_OF_ONE_EVENT


def test_a_fan_out_takes_no_lock_and_no_wake_up_for_each_subscriber() -> None:
    check_a_fan_out()


def test_many_keys_cost_what_few_cost() -> None:
    few, many = Line(1), Line(1)
    for number in range(5000):
        scope = KeyRange.of_key(b"another%d" % number)
        many.demux.router.add(Route("another", scope, prefix=False))
    for line in (few, many):
        line.carry(live(1, 10))
    assert many.count(live(100, EVENTS)).calls == few.count(live(100, EVENTS)).calls


class One:
    """A subscriber of one key."""

    def __init__(self, told: list[Event]) -> None:
        self._tell = told.append

    def __call__(self, event: Event) -> None:
        self._tell(event)


class Staffed(Line):
    """A line with workers, and a key each for so many subscribers."""

    def __init__(self, keys: int) -> None:
        super().__init__(subscribers=0)
        del self.pool._staff  # the real one, again
        self.pool._looks = 10**9  # who has nothing to do looks on
        self.demux.router.remove(self.route)
        self._keys = [b"k%04d" % number for number in range(keys)]
        for key in self._keys:
            route = Route(key.decode(), KeyRange.of_key(key), prefix=False)
            self.demux.router.add(route)
            self.subscribe(route, One(self.told))

    def count_one_by_one(self, count: int) -> Counts:
        """Count what events take, on all threads, that come one at a time, of each key in turn."""
        counts = self.counts

        def profile(_frame: FrameType, what: str, _arg: object) -> None:
            counts.calls += what in ("call", "c_call")

        threading.setprofile(profile)
        try:
            for number in range(count):
                event = fake_event(number + 2, self._keys[number % len(self._keys)])
                sys.setprofile(profile)
                self.demux.publish([event], relieve=lambda: pytest.fail("nobody is held up"))
                self.demux.deliver()
                sys.setprofile(None)
                self._rest()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            self.pool.close()
        return counts

    def _rest(self) -> None:
        pool = self.pool
        deadline = time.monotonic() + PATIENCE
        while not (pool._looking and pool._turn is None and not pool._bundles):
            assert time.monotonic() < deadline
            threading.Event().wait(0.0001)


def check_the_first_event_of_each_key(spoil: Callable[[Staffed], None] = lambda _: None) -> None:
    """Events one at a time: of 10 keys, and each of another key."""
    few, many = Staffed(10), Staffed(EACH_FIRST)
    counted = []
    for line in (few, many):
        spoil(line)
        counted.append(line.count_one_by_one(EACH_FIRST))
        assert len(line.told) == EACH_FIRST
    of_few, of_many = counted
    assert of_many.calls <= of_few.calls * WITH_MANY_KEYS
    assert of_many.locks <= of_few.locks * WITH_MANY_KEYS
    assert of_many.wake_ups <= of_few.wake_ups * WITH_MANY_KEYS


@pytest.fixture
def nobody_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have who looks on do so without an end, and without a look now and then that is counted."""
    monkeypatch.setattr(dispatch, "PATIENCE", 1e6)
    monkeypatch.setattr(dispatch, "HELD_UP", 1e6)


@pytest.mark.usefixtures("nobody_is_slow")
def test_the_first_event_of_each_of_many_keys_costs_what_a_later_one_does() -> None:
    check_the_first_event_of_each_key()


# The guard guards.


def lock_for_each_event(line: Line) -> None:
    match = line.demux.router.match

    def locked(raw_key: bytes) -> list[Route]:
        with line.demux.lock:
            return match(raw_key)

    line.demux.router.match = locked  # type: ignore[method-assign]


def wake_up_for_each_event(line: Line) -> None:
    match = line.demux.router.match

    def waking(raw_key: bytes) -> list[Route]:
        with line.journal._changed:
            line.journal._changed.notify_all()
        return match(raw_key)

    line.demux.router.match = waking  # type: ignore[method-assign]


def lock_for_each_subscriber(line: Line) -> None:
    for subscription, _ in line.route.subscriptions:
        tell = subscription.call

        def locked(event: Event, tell: Callable[[Event], Any] = tell) -> None:
            with line.journal._changed:
                tell(event)

        subscription.call = locked


def copied(first: int, count: int) -> Callable[[], list[Event]]:
    decode = live(first, count)
    return lambda: [event._replace() for event in decode()]


def kept_twice(first: int, count: int) -> Callable[[], list[Event]]:
    decode = live(first, count)

    def decode_and_keep() -> list[Event]:
        events = decode()
        KEPT.append([bytes(bytearray(event.raw_key)) for event in events])
        KEPT.append([bytes(bytearray(event.raw_value or b"")) for event in events])
        return events

    return decode_and_keep


KEPT: list[list[bytes]] = []


def worker_for_each_first_call(line: Staffed) -> None:
    line.pool._loan._vouchers.vouch_for = lambda mailbox: False  # type: ignore[method-assign]


@pytest.mark.parametrize("spoil", [lock_for_each_event, wake_up_for_each_event])
def test_it_sees_what_is_done_for_each_event(
    spoil: Spoiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "CALLS_AN_EVENT", 1000)  # were it for that alone
    check_a_burst()
    with pytest.raises(AssertionError, match=r"\)\.(locks|wake_ups)"):
        check_a_burst(spoil=spoil)


def test_it_sees_a_lock_for_each_subscriber(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "CALLS_A_SUBSCRIBER", 1000)
    check_a_fan_out()
    with pytest.raises(AssertionError, match=r"\)\.locks"):
        check_a_fan_out(lock_for_each_subscriber)


@pytest.mark.usefixtures("nobody_is_slow")
def test_it_sees_a_worker_for_the_first_event_of_each_key() -> None:
    with pytest.raises(AssertionError, match=r"\)\.calls"):
        check_the_first_event_of_each_key(worker_for_each_first_call)


def test_it_sees_a_copy_of_each_event() -> None:
    with pytest.raises(AssertionError, match=r"\)\.calls"):
        check_a_burst(copied)


def test_it_sees_what_is_kept_of_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "CALLS_AN_EVENT", 1000)
    with pytest.raises(AssertionError, match=r"\)\.blocks"):
        check_a_burst(kept_twice)
    KEPT.clear()
