"""What a callback may do on the feed's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from etcd_watcher import Watcher
from tests.eventually import eventually
from tests.fake_store import PATIENCE, FakeStore
from tests.relay.callbacks import FEED, Callback, Make, pool_of
from tests.threads import threads_left


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
        assert eventually(lambda: pool_of(watcher)._loan.away)
    watcher.close()
    assert not callback.ended.is_set()
    callback.go_on.set()
    assert threads_left() == []
