"""A watch that begins far in the past: what was missed, then what comes, nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from etcd_watcher.errors import Compacted, RequestRejected, StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import backlog, history
from etcd_watcher.stores.backlog import watch_from
from etcd_watcher.stores.base import Batch, Watch
from tests.fake_store import FakeStore, FakeWatch

K = KeyRange.of_prefix(b"k")
ALL = KeyRange.of_prefix(b"")


class Archive(FakeStore):
    """A store with a fast way to its past."""

    def __init__(self) -> None:
        super().__init__()
        self.history_watchers = 1
        self.history_copy_bytes = 0
        self.closed_early = 0
        self.pasts: list[tuple[KeyRange, int]] = []
        """The ranges whose past was read, and from where on."""

    def history(self, scope: KeyRange, first: int, last: int) -> Generator[list[Event], None, int]:
        self.pasts.append((scope, first))
        if first <= self.compacted:
            raise Compacted(self.compacted)
        try:
            for transaction in self.transactions_after(first - 1):
                if transaction[0].revision <= last:
                    yield [each for each in transaction if each.raw_key in scope]
        except GeneratorExit:
            self.closed_early += 1
            raise
        return last


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setattr(backlog, "FAR", 5)
    monkeypatch.setattr(history, "FAR", 5)
    store = Archive()
    for number in range(20):
        store.commit(("k", str(number)))
    return store


def read(watch: Watch, until: int) -> list[int]:
    """Give the revisions told up to one."""
    told: list[int] = []
    while not told or told[-1] < until:
        told += [each.revision for each in watch.read().events]
    return told


def test_it_is_acknowledged_first_and_then_tells_all(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    first = watch.read()
    assert (first.opened, first.events, first.complete) == (True, [], 0)
    assert first.scope is K
    live = store.commit(("k", "live"))
    assert read(watch, live) == list(range(4, live + 1))
    # The server had acknowledged the watch of what comes before anything of the past was read.
    assert store.watches[0].targets == [(K, live - 1)]


def test_it_says_how_far_it_is_once_the_past_is_told(store: Archive) -> None:
    watch = watch_from(store, KeyRange.of_key(b"none"), 3, 5)
    batches = [watch.read() for _ in range(20)]
    assert [batch.complete for batch in batches if batch.complete] == [21]


def test_what_is_near_is_left_to_an_ordinary_watch(store: Archive) -> None:
    assert isinstance(watch_from(store, K, store.now - 5, 5), FakeWatch)
    assert isinstance(watch_from(FakeStore(), K, 1, 5), FakeWatch)


def test_a_user_who_may_not_ask_gets_an_ordinary_watch(store: Archive) -> None:
    store.fail_next("revision", RequestRejected("no"))
    assert isinstance(watch_from(store, K, 3, 5), FakeWatch)


def test_another_range_ends_the_past_of_the_first(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    assert watch.read().opened
    assert read(watch, 5) == [4, 5]
    watch.retarget(ALL, 5)
    batch = watch.read()
    assert batch.opened
    assert batch.scope is ALL
    assert read(watch, 21) == list(range(6, 22))
    assert store.closed_early == 1
    # What is missing of the other one is read the fast way, too.
    assert store.pasts == [(K, 4), (ALL, 6)]
    assert store.watches[0].targets == [(K, 21), (ALL, 21)]


def test_another_range_before_the_first_was_acknowledged(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    watch.retarget(ALL, 3)
    batch = watch.read()
    assert batch.opened
    assert batch.scope is ALL
    assert read(watch, 21) == list(range(4, 22))
    assert store.pasts == [(ALL, 4)]


def test_another_range_asked_for_while_the_first_is_being_acknowledged(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    live = store.watches[0]
    acknowledge = live.read

    def read_late() -> Batch:
        batch = acknowledge()
        if batch.scope is K:
            watch.retarget(ALL, 3)
        return batch

    live.read = read_late  # type: ignore[method-assign]
    batch = watch.read()
    assert batch.opened
    assert batch.scope is ALL
    assert read(watch, 21) == list(range(4, 22))
    assert store.pasts == [(ALL, 4)]


def test_another_range_when_little_is_missing_is_left_to_the_ordinary_watch(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    assert read(watch, 18) == list(range(4, 19))
    watch.retarget(ALL, 18)
    assert watch.read().opened
    assert read(watch, 21) == [19, 20, 21]
    assert store.pasts == [(K, 4)]
    assert store.closed_early == 1
    assert store.watches[0].targets == [(K, 21), (ALL, 18)]


def test_another_range_once_the_past_is_told_begins_where_that_ended(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    assert read(watch, 21) == list(range(4, 22))
    assert watch.read().complete == 21
    watch.retarget(ALL, 21)
    live = store.commit(("another", "live"))
    assert watch.read().opened
    assert read(watch, live) == [live]


def test_a_past_that_the_server_has_dropped_says_so(store: Archive) -> None:
    store.compact(10)
    watch = watch_from(store, K, 3, 5)
    assert watch.read().opened
    with pytest.raises(Compacted):
        watch.read()


def test_closing_ends_the_past_on_whatever_thread(store: Archive) -> None:
    """A callback may close it on one thread while another reads on."""
    watch = watch_from(store, K, 3, 5)
    assert read(watch, 4) == [4]
    closing = threading.Thread(target=watch.close)
    closing.start()
    closing.join()
    assert store.closed_early == 1


def test_closing_ends_the_past_too(store: Archive) -> None:
    watch = watch_from(store, K, 3, 5)
    assert read(watch, 4) == [4]
    watch.close()
    assert store.closed_early == 1
    with pytest.raises(StoreClosed):
        watch.read()
