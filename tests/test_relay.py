"""Callbacks on the feed's own thread: quick ones save a hop, and one that blocks delays nobody."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Protocol

import pytest

from etcd_watcher import Event, Subscriber, Watcher, dispatch, relay
from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.dispatch import MAX_WORKERS, WorkerPool
from etcd_watcher.mailbox import DELIVERING, Mailbox
from etcd_watcher.stores.base import Batch
from tests.fake_store import PATIENCE, FakeStore, FakeWatch
from tests.threads import threads_left

FEED, HELD_UP, WORKER = "etcd_watcher-feed", "etcd_watcher-held-up", "etcd_watcher-worker"


@pytest.fixture(autouse=True)
def a_busy_machine_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lookouts stay, and take no callback for slow because the machine is."""
    monkeypatch.setattr(dispatch, "LOOKS", 10**9)
    monkeypatch.setattr(mailbox_module, "SLOW", 1e9)


def pool_of(watcher: Watcher) -> WorkerPool:
    pool = watcher._demux.pool
    assert isinstance(pool, WorkerPool)
    return pool


class Callback:
    """Notes what it is told, and on which thread; and does what it was given to do, once."""

    def __init__(self, watcher: Watcher, key: str) -> None:
        self.watcher, self.key = watcher, key
        self.told: list[tuple[str, int]] = []
        self._changed = threading.Condition()
        self.once: Callable[[], object] | None = None
        self.go_on, self.ended = threading.Event(), threading.Event()
        watcher.on(key)(self)

    # What takes more than it gets may do anything: nobody vouches for another's code.
    def __call__(self, event: Event, *_: object) -> None:
        with self._changed:
            self.told.append((threading.current_thread().name, event.revision))
            self._changed.notify_all()
        once, self.once = self.once, None
        if once is not None:
            once()
            self.ended.set()

    def block(self) -> None:
        self.go_on.wait(3 * PATIENCE)

    def has(self, revision: int) -> bool:
        """Wait until it was told of a revision."""
        with self._changed:
            return self._changed.wait_for(lambda: revision in self.revisions, PATIENCE)

    def on(self, revision: int) -> str:
        """Wait until it was told of a revision; give the kind of thread."""
        assert self.has(revision)
        (thread,) = [thread for thread, each in self.told if each == revision]
        return WORKER if thread.startswith(WORKER) else thread

    @property
    def revisions(self) -> list[int]:
        return [revision for _, revision in self.told]

    @property
    def mailbox(self) -> Mailbox:
        found = self.watcher._registry.find_mailbox(self, closed=True)
        assert found is not None
        return found


class Kin(Callback):
    """One of many whose callback is the same."""

    def __call__(self, event: Event) -> None:  # type: ignore[override]  # takes less on purpose
        super().__call__(event)


class Make(Protocol):
    def __call__(self, key: str, kind: type[Callback] = ...) -> Callback: ...


@pytest.fixture
def make(watcher: Watcher, store: FakeStore) -> Iterator[Make]:
    """Give callbacks that were called once, by a worker, which looks on now."""
    made: list[Callback] = []

    def make(key: str, kind: type[Callback] = Callback) -> Callback:
        made.append(kind(watcher, key))
        assert made[-1].on(store.commit((key, "first"))) == WORKER
        while not pool_of(watcher)._loan.part([made[-1].mailbox])[0]:
            threading.Event().wait(0.001)
        assert made[-1].has(store.commit((key, "second")))  # by a worker, if nobody looks on yet
        rest(watcher)
        return made[-1]

    yield make
    for each in made:
        each.go_on.set()


def comes_true(condition: Callable[[], object]) -> bool:
    """Tell whether something comes true that nothing announces."""
    for _ in range(int(PATIENCE / 0.001)):
        if condition():
            return True
        threading.Event().wait(0.001)
    return False


def rest(watcher: Watcher) -> None:
    """Wait until all is told, and somebody looks on."""
    pool = pool_of(watcher)

    def is_at_rest() -> bool:
        with pool._work:
            return pool._looking and pool._turn is None and not pool._bundles

    assert comes_true(is_at_rest)


# Which thread.


def test_a_quick_callback_is_called_on_the_thread_that_has_read_the_event(
    make: Make, store: FakeStore
) -> None:
    callback = make("k")
    for _ in range(10):
        assert callback.on(store.commit(("k", "v"))) == FEED
        rest(callback.watcher)


def test_the_first_call_is_a_workers(make: Make, watcher: Watcher, store: FakeStore) -> None:
    make("k")
    other = Callback(watcher, "other")
    assert other.on(store.commit(("other", "v"))) == WORKER


def test_but_for_one_of_many_of_whom_a_worker_has_called_one(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    make("k", Kin)
    for number in range(5):
        other = Kin(watcher, f"other{number}")
        assert other.on(store.commit((other.key, "v"))) == FEED
        rest(watcher)
    together = [Kin(watcher, f"{number} of several") for number in range(5)]
    revision = store.commit(*[(each.key, "v") for each in together])
    assert [each.on(revision) for each in together] == [FEED] * 5


class Named(Subscriber):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.thread = ""
        self.told = threading.Event()

    def tell(self, *_: object) -> None:
        self.thread = threading.current_thread().name
        self.told.set()

    def do_things(self, key: str, value: str | None) -> None:
        self.tell(key, value)


@pytest.mark.parametrize(("what", "later"), [("do_things", FEED), ("tell", WORKER)])
def test_people_with_the_same_method_are_such_unless_it_takes_anything(
    make: Make, watcher: Watcher, store: FakeStore, what: str, later: str
) -> None:
    make("k")
    people = [Named(name) for name in ("Luis", "Ana", "Eva")]
    for each in people:
        watcher.register(each.name, each, what)
        store.commit((each.name, "v"))
        assert each.told.wait(PATIENCE)
        rest(watcher)
    assert people[0].thread.startswith(WORKER)
    assert all(each.thread.startswith(later) for each in people[1:])


def test_who_was_called_so_and_left_is_kept_by_nobody(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    make("k", Kin)
    other = Kin(watcher, "other")
    assert other.on(store.commit(("other", "v"))) == FEED
    rest(watcher)
    watcher.unregister("other", other)
    left = weakref.ref(other)
    del other
    gc.collect()
    assert comes_true(lambda: left() is None)


def test_where_nobody_looks_on_a_worker_is_woken_who_then_does(
    make: Make, watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback, pool = make("k"), pool_of(watcher)
    monkeypatch.setattr(dispatch, "LOOKS", 3)
    pool._looks = 0
    assert comes_true(lambda: not pool._looking)  # and nobody wakes any more while it is quiet
    assert callback.on(store.commit(("k", "v"))) == WORKER
    assert comes_true(lambda: not pool._looking)
    monkeypatch.setattr(dispatch, "LOOKS", 10**9)
    assert callback.on(store.commit(("k", "v"))) == WORKER
    rest(watcher)
    assert callback.on(store.commit(("k", "v"))) == FEED


def test_a_slow_one_is_left_to_the_workers_and_the_quick_ones_beside_it_are_not(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    quick, slow = make("quick"), make("slow")
    slow.mailbox.slow = True
    revision = store.commit(("slow", "v"), ("quick", "v"))
    assert (quick.on(revision), slow.on(revision)) == (FEED, WORKER)


def test_many_events_at_once_are_left_to_the_workers(make: Make, store: FakeStore) -> None:
    callback = make("k")
    with store.changed:
        store.at_once = 100
        for _ in range(100):
            last = store.commit(("k", "v"))
    assert callback.on(last) == WORKER
    assert callback.revisions == list(range(2, last + 1))


def test_the_callback_knows_whose_it_is_and_shares_no_context(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="untouched")
    seen: list[tuple[Mailbox | None, str]] = []

    def look() -> None:
        seen.append((DELIVERING.get(), variable.get()))
        variable.set("touched")

    callbacks = [make("a"), make("b")]
    for callback in callbacks:
        callback.once = look
    revision = store.commit(("a", "v"), ("b", "v"))
    assert [each.on(revision) for each in callbacks] == [FEED, FEED]
    rest(watcher)
    assert sorted(seen, key=lambda each: id(each[0])) == sorted(
        [(each.mailbox, "untouched") for each in callbacks], key=lambda each: id(each[0])
    )


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_it_raises_the_thread_reads_on(
    make: Make, store: FakeStore, error: type[BaseException]
) -> None:
    callback = make("k")

    def fail() -> None:
        raise error("on purpose")

    callback.once = fail
    assert callback.on(store.commit(("k", "v"))) == FEED
    rest(callback.watcher)
    assert callback.on(store.commit(("k", "v"))) == FEED
    assert callback.mailbox.delivery.failed == 1


def test_syncing_waits_for_a_callback_on_the_feeds_thread(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    callback = make("k")
    callback.once = callback.block
    assert callback.on(store.commit(("k", "v"))) == FEED
    threading.Timer(0.05, callback.go_on.set).start()
    watcher.sync()
    assert callback.ended.is_set()


# One that does not return.


def is_away(pool: WorkerPool, count: int) -> bool:
    return pool._loan.away == count


def test_while_one_blocks_the_others_are_told_by_another_thread_that_reads(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    blocked, other = make("blocked"), make("other")
    blocked.once = blocked.block
    began = store.commit(("blocked", "v"))
    assert blocked.on(began) == FEED
    for _ in range(50):
        assert other.has(store.commit(("other", "v"), ("blocked", "v")))
    assert not blocked.ended.is_set()
    names = [each.name for each in threading.enumerate()]
    assert (names.count(FEED), names.count(HELD_UP)) == (1, 1)
    blocked.go_on.set()
    watcher.sync()
    assert blocked.revisions == sorted(set(blocked.revisions))
    assert [each for each in blocked.revisions if each >= began] == list(
        range(began, store.now + 1)
    )
    assert comes_true(lambda: HELD_UP not in [each.name for each in threading.enumerate()])
    assert len(store.watches) == 1


def test_what_waits_behind_one_that_blocks_is_told_by_a_worker(
    make: Make, store: FakeStore
) -> None:
    callbacks = [make("a"), make("b")]
    for callback in callbacks:
        callback.once = callback.block
    revision = store.commit(("a", "v"), ("b", "v"))
    assert sorted(each.on(revision) for each in callbacks) == sorted([FEED, WORKER])


def test_who_held_the_thread_up_is_left_to_the_workers_for_a_while(
    make: Make, watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BARRED", 0.5)
    callback = make("k")
    callback.once = callback.block
    assert callback.on(store.commit(("k", "v"))) == FEED
    assert comes_true(lambda: pool_of(watcher)._loan.away)
    barred = time.perf_counter()
    callback.go_on.set()
    threads: list[str] = []
    while FEED not in threads[-1:]:
        rest(watcher)
        threads.append(callback.on(store.commit(("k", "v"))))
        threading.Event().wait(0.02)
    assert WORKER in threads[:-1]
    assert time.perf_counter() - barred > 0.4


def test_only_so_many_may_hold_it_up_at_one_time(
    make: Make, watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BARRED", 1000.0)
    callbacks = [make(f"k{number}") for number in range(relay.AWAY + 2)]
    kinds = []
    for callback in callbacks:
        callback.once = callback.block
        kinds.append(callback.on(store.commit((callback.key, "v"))))
        away = min(len(kinds), relay.AWAY)
        assert comes_true(partial(is_away, pool_of(watcher), away))
        assert comes_true(lambda: pool_of(watcher)._looking)
    assert kinds == [FEED] * relay.AWAY + [WORKER] * 2
    for callback in callbacks:
        callback.go_on.set()
    watcher.sync()
    assert comes_true(lambda: pool_of(watcher)._loan.away == 0)


def test_of_many_that_block_only_one_holds_it_up(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    make("k", Kin)  # which was quick
    blocked = [Kin(watcher, f"k{number}") for number in range(relay.AWAY + 2)]
    kinds = []
    for each in blocked:
        each.once = each.block
        kinds.append(each.on(store.commit((each.key, "v"))))
        assert comes_true(partial(is_away, pool_of(watcher), 1))
        assert comes_true(lambda: pool_of(watcher)._looking)
    for each in blocked:
        each.go_on.set()
    assert kinds == [FEED] + [WORKER] * (relay.AWAY + 1)


def test_nor_does_any_where_the_first_one_blocks(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    make("k")
    blocked = [Kin(watcher, f"k{number}") for number in range(relay.AWAY)]
    kinds = []
    for each in blocked:
        each.once = each.block
        kinds.append(each.on(store.commit((each.key, "v"))))
        assert comes_true(lambda: pool_of(watcher)._looking)
    for each in blocked:
        each.go_on.set()
    assert kinds == [WORKER] * relay.AWAY


def test_when_some_time_has_gone_one_of_the_many_is_tried_again(
    make: Make, watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BARRED", 0.2)
    make("k", Kin)
    blocks = Kin(watcher, "blocks")
    blocks.once = blocks.block
    assert blocks.on(store.commit(("blocks", "v"))) == FEED
    assert comes_true(partial(is_away, pool_of(watcher), 1))
    blocks.go_on.set()
    barred_until = time.perf_counter() + relay.BARRED
    kinds: list[str] = []
    while FEED not in kinds[-1:]:
        rest(watcher)
        other = Kin(watcher, f"other{len(kinds)}")
        kinds.append(other.on(store.commit((other.key, "v"))))
        threading.Event().wait(0.02)
    assert time.perf_counter() > barred_until - 0.1
    assert WORKER in kinds[:-1]


def test_the_last_worker_that_is_left_looks_on_before_it_calls_others(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    """Else nobody would see that the feed is held up, while all the others block."""
    blocked, pool = [make(f"k{number}") for number in range(MAX_WORKERS)], pool_of(watcher)
    last, other = make("last"), make("other")
    for callback in blocked:
        callback.mailbox.slow = True
        callback.once = callback.block
    for callback in blocked[:-1]:
        assert callback.on(store.commit((callback.key, "v"))) == WORKER
    rest_of_them = blocked[-1]
    assert comes_true(lambda: pool._looking and len(pool._workers) == MAX_WORKERS)
    last.once = last.block
    revision = store.commit(("last", "v"), (rest_of_them.key, "v"))
    assert last.on(revision) == FEED
    assert comes_true(lambda: pool._loan.away)
    assert rest_of_them.on(revision) == WORKER
    assert comes_true(lambda: watcher.revision == store.now)
    store.commit(("other", "v"))
    assert comes_true(lambda: watcher.revision == store.now)  # read it is, called not yet
    for callback in (*blocked, last):
        callback.go_on.set()
    assert other.has(store.now)


# What a callback may do.


def sync(callback: Callback) -> None:
    callback.watcher.put("other", "v")
    callback.watcher.sync(PATIENCE)


def register(callback: Callback) -> None:
    other = Callback(callback.watcher, "z")
    revision = callback.watcher.put("z", "v")
    assert other.has(revision)


def stop_watching(callback: Callback) -> None:
    callback.watcher.remove_key("k")
    callback.watcher.remove_key("other")


def iterate(callback: Callback) -> None:
    with callback.watcher.events("other") as stream:
        callback.watcher.put("other", "v")
        assert next(stream).value == "v"


@pytest.mark.parametrize("act", [sync, register, stop_watching, iterate])
def test_a_callback_may_wait_for_what_is_still_to_be_read(
    make: Make, watcher: Watcher, store: FakeStore, act: Callable[[Callback], None]
) -> None:
    callback, other = make("k"), make("other")
    mailbox = callback.mailbox
    callback.once = lambda: act(callback)
    assert callback.on(store.commit(("k", "v"))) == FEED
    assert callback.ended.wait(PATIENCE), mailbox.delivery.last_error
    assert mailbox.delivery.failed == 0
    after = Callback(watcher, "after")
    assert after.has(store.commit(("after", "v")))
    assert other.revisions == sorted(set(other.revisions))


def test_a_callback_may_close_the_watcher(make: Make, store: FakeStore) -> None:
    callback = make("k")
    callback.once = callback.watcher.close
    assert callback.on(store.commit(("k", "v"), ("k", "w"))) == FEED
    assert callback.ended.wait(PATIENCE)
    assert threads_left() == []
    assert callback.revisions == [2, 3, 4]  # and not the second of that transaction


def test_one_that_is_held_up_may_close_the_watcher_and_its_successor_ends(
    make: Make, store: FakeStore
) -> None:
    callback, other = make("k"), make("other")

    def close() -> None:
        callback.block()
        callback.watcher.close()

    callback.once = close
    assert callback.on(store.commit(("k", "v"))) == FEED
    assert other.has(store.commit(("other", "v")))
    callback.go_on.set()
    assert callback.ended.wait(PATIENCE)
    assert threads_left() == []


def test_closing_waits_for_a_callback_on_the_feeds_thread(make: Make, store: FakeStore) -> None:
    callback = make("k")
    callback.once = callback.block
    assert callback.on(store.commit(("k", "v"))) == FEED
    threading.Timer(0.05, callback.go_on.set).start()
    callback.watcher.close()
    assert callback.ended.is_set()
    assert threads_left() == []


@pytest.mark.parametrize("held_up", [False, True])
def test_closing_does_not_wait_for_one_that_never_returns(
    make: Make, watcher: Watcher, store: FakeStore, *, held_up: bool
) -> None:
    callback = make("k")
    callback.once = callback.block
    assert callback.on(store.commit(("k", "v"))) == FEED
    if held_up:
        assert comes_true(lambda: pool_of(watcher)._loan.away)
    watcher.close()
    assert not callback.ended.is_set()
    callback.go_on.set()
    assert threads_left() == []


# All at once.


class Lingering(Callback):
    """Dawdles at some events, and notes where it was called before it had returned."""

    def __init__(self, watcher: Watcher, key: str, chance: random.Random) -> None:
        self._chance = chance
        self._inside = 0
        self.overlaps = 0
        super().__init__(watcher, key)

    def __call__(self, event: Event) -> None:  # type: ignore[override]  # one vouches for another
        self._inside += 1
        self.overlaps += self._inside != 1
        super().__call__(event)
        if self._chance.random() < 0.05:
            time.sleep(0.001)
        self._inside -= 1


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have Python switch between threads, and a lookout take the turn, as often as they can."""
    monkeypatch.setattr(dispatch, "PATIENCE", 0.0002)
    monkeypatch.setattr(dispatch, "HELD_UP", 0.0)
    monkeypatch.setattr(relay, "BARRED", 0.0)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("seed", range(3))
def test_with_turns_taken_all_the_time_each_is_told_once_in_order_and_one_reads(
    watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    inside, together, read = 0, 0, FakeWatch.read

    def alone(watch: FakeWatch) -> Batch:
        nonlocal inside, together
        inside += 1
        together = max(together, inside)
        try:
            return read(watch)
        finally:
            inside -= 1

    monkeypatch.setattr(FakeWatch, "read", alone)
    relieved, relieve = itertools.count(), watcher._demux.relieve
    assert relieve is not None
    monkeypatch.setattr(watcher._demux, "relieve", lambda: (next(relieved), relieve()))
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    callbacks = [Lingering(watcher, f"k{number}", chance) for number in range(5)]
    for number in range(400):
        store.commit(*[(each.key, "v") for each in callbacks])
        if number % 7 == 0:
            watcher.sync(PATIENCE)
            assert all(each.revisions[-1] == store.now for each in callbacks)
    watcher.sync(PATIENCE)
    for callback in callbacks:
        assert callback.revisions == list(range(2, store.now + 1))
        assert not callback.overlaps
    assert together == 1
    assert next(relieved) > 0
    assert len(store.watches) == 1


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("seed", range(3))
def test_with_newcomers_all_the_time_each_is_told_once_in_order_from_its_first_event_on(
    watcher: Watcher, store: FakeStore, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    callbacks = [Lingering(watcher, f"k{number}", chance) for number in range(100)]
    began: list[int] = []
    for _ in callbacks:
        began.append(store.now + 1)
        for _ in range(3):
            store.commit(*[(each.key, "v") for each in callbacks[: len(began)][-5:]])
        if chance.random() < 0.2:
            watcher.sync(PATIENCE)
            assert callbacks[len(began) - 1].revisions[-1] == store.now
    watcher.sync(PATIENCE)
    for callback, first in zip(callbacks, began, strict=True):
        assert callback.revisions == list(range(first, min(first + 15, store.now + 1)))
        assert not callback.overlaps
    assert any(callback.told[0][0] == FEED for callback in callbacks)
    assert any(callback.told[0][0].startswith(WORKER) for callback in callbacks)
