"""Quick callbacks are called on the feed's own thread, which saves a hop."""

from __future__ import annotations

import gc
import threading
import weakref
from contextvars import ContextVar

import pytest

from etcd_watcher import Subscriber, Watcher, dispatch
from etcd_watcher.mailbox import DELIVERING, Mailbox
from tests.eventually import eventually
from tests.fake_store import PATIENCE, FakeStore
from tests.relay.callbacks import FEED, WORKER, Callback, Kin, Make, pool_of, rest


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
    assert eventually(lambda: left() is None)


def test_where_nobody_looks_on_a_worker_is_woken_who_then_does(
    make: Make, watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback, pool = make("k"), pool_of(watcher)
    monkeypatch.setattr(dispatch, "LOOKS", 3)
    pool._looks = 0
    assert eventually(lambda: not pool._looking)  # and nobody wakes any more while it is quiet
    assert callback.on(store.commit(("k", "v"))) == WORKER
    assert eventually(lambda: not pool._looking)
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
