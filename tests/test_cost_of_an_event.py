"""What an event costs on its way from the wire to a callback, in counts and not in seconds.

Counted are calls, locks taken, wake-ups and memory blocks, for many events at once, on this thread
alone. The bounds have room for a change or two, and none for a lock, a wake-up or a copy for each
event: the tests at the end add one and see the guard say so. Whoever makes it cost less should lower
the bound.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from etcd_watcher import bundle
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
from etcd_watcher.subscriber import Subscription

EVENTS = 1000
SUBSCRIBERS = 500

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
            mailbox = Mailbox(object(), self._no_refill, None)
            subscription = Subscription(
                "k", self.route.scope, prefix=True, who=mailbox.who, call=self.tell
            )
            mailbox.add(subscription)
            self.route.subscriptions.append((subscription, mailbox))

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


def test_it_sees_a_copy_of_each_event() -> None:
    with pytest.raises(AssertionError, match=r"\)\.calls"):
        check_a_burst(copied)


def test_it_sees_what_is_kept_of_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "CALLS_AN_EVENT", 1000)
    with pytest.raises(AssertionError, match=r"\)\.blocks"):
        check_a_burst(kept_twice)
    KEPT.clear()
