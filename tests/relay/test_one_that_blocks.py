"""A callback that blocks the feed's thread delays nobody."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from etcd_watcher import Watcher, relay
from etcd_watcher.dispatch import MAX_WORKERS, WorkerPool
from tests.eventually import eventually
from tests.fake_store import FakeStore
from tests.relay.callbacks import FEED, HELD_UP, WORKER, Kin, Make, pool_of, rest


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
    assert eventually(lambda: HELD_UP not in [each.name for each in threading.enumerate()])
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
    assert eventually(lambda: pool_of(watcher)._loan.away)
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
        assert eventually(partial(is_away, pool_of(watcher), away))
        assert eventually(lambda: pool_of(watcher)._looking)
    assert kinds == [FEED] * relay.AWAY + [WORKER] * 2
    for callback in callbacks:
        callback.go_on.set()
    watcher.sync()
    assert eventually(lambda: pool_of(watcher)._loan.away == 0)


def test_of_many_that_block_only_one_holds_it_up(
    make: Make, watcher: Watcher, store: FakeStore
) -> None:
    make("k", Kin)  # which was quick
    blocked = [Kin(watcher, f"k{number}") for number in range(relay.AWAY + 2)]
    kinds = []
    for each in blocked:
        each.once = each.block
        kinds.append(each.on(store.commit((each.key, "v"))))
        assert eventually(partial(is_away, pool_of(watcher), 1))
        assert eventually(lambda: pool_of(watcher)._looking)
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
        assert eventually(lambda: pool_of(watcher)._looking)
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
    assert eventually(partial(is_away, pool_of(watcher), 1))
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
    assert eventually(lambda: pool._looking and len(pool._workers) == MAX_WORKERS)
    last.once = last.block
    revision = store.commit(("last", "v"), (rest_of_them.key, "v"))
    assert last.on(revision) == FEED
    assert eventually(lambda: pool._loan.away)
    assert rest_of_them.on(revision) == WORKER
    assert eventually(lambda: watcher.revision == store.now)
    store.commit(("other", "v"))
    assert eventually(lambda: watcher.revision == store.now)  # read it is, called not yet
    for callback in (*blocked, last):
        callback.go_on.set()
    assert other.has(store.now)
