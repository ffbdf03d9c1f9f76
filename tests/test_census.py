"""The keys that were there before we came: their deletion is told, too, after a loss."""

from __future__ import annotations

import pytest

from etcd_watcher import Event, Gap, Watcher
from etcd_watcher import census as census_module
from etcd_watcher.errors import ConnectionFailed, RequestRejected
from tests.fake_store import PATIENCE, FakeStore
from tests.threads import threads_left


@pytest.fixture
def store() -> FakeStore:
    store = FakeStore()
    for key in ("k1", "k2", "k3", "x"):
        store.commit((key, "before"))
    return store


def known(watcher: Watcher) -> list[bytes]:
    assert watcher._census.wait(PATIENCE)
    with watcher._demux.lock:
        return sorted(watcher._demux.lives)


def lose(store: FakeStore, watcher: Watcher) -> None:
    """Break the watch where it stands; a hook holds the feed until the server has moved on."""
    store.watches[0].push(ConnectionFailed("gone"))


def test_a_deletion_in_a_gap_is_told_of_a_key_that_was_never_seen(
    watcher: Watcher, store: FakeStore
) -> None:
    told: list[Event] = []
    watcher.on("k", prefix=True)(told.append)
    assert known(watcher) == [b"k1", b"k2", b"k3"]

    def meanwhile() -> None:
        store.commit(("k2", None))
        store.commit(("k1", "after"))
        store.compact(store.commit(("x", "after")))

    store.before("watch", meanwhile)
    lose(store, watcher)
    store.watch_number(2)
    watcher.sync()
    assert [(each.key, each.value, each.synthetic) for each in told] == [
        ("k1", "after", True),
        ("k2", None, True),
    ]
    gaps = [each for each in watcher.journal if isinstance(each, Gap)]
    assert [(gap.first, gap.last, gap.subscriber) for gap in gaps] == [(6, 7, "")]
    assert known(watcher) == [b"k1", b"k3"]


def test_exact_keys_are_counted_and_no_others(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key(["k1", "k3", "k9"])
    assert known(watcher) == [b"k1", b"k3"]
    watcher.remove_key("k1")
    assert known(watcher) == [b"k3"]


def test_a_key_registered_twice_is_counted_once(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k1")
    assert known(watcher) == [b"k1"]
    asked = store.calls["keys"]
    watcher.on("k1")(print)
    assert known(watcher) == [b"k1"]
    assert store.calls["keys"] == asked


def test_pages_follow_one_another_up_to_the_bound(
    watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "PAGE", 1)
    monkeypatch.setattr(census_module, "MOST_KEYS", 2)
    watcher.add_key("k", prefix=True)
    assert known(watcher) == [b"k1", b"k2"]


def test_a_server_that_is_away_is_asked_again(
    watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "RETRY", 0.01)
    store.fail_next("keys", *[ConnectionFailed("away")] * 3)
    watcher.add_key("k1")
    assert known(watcher) == [b"k1"]
    assert store.calls["keys"] == 4


def test_a_server_that_refuses_leaves_the_watch_as_it_is(
    watcher: Watcher, store: FakeStore
) -> None:
    store.fail_next("keys", RequestRejected("no"))
    told: list[Event] = []
    watcher.on("k1")(told.append)
    assert known(watcher) == []
    store.commit(("k1", "after"))
    watcher.sync()
    assert [each.value for each in told] == ["after"]


def test_closing_ends_one_that_waits_for_a_server(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "RETRY", PATIENCE)
    watcher = Watcher(store)
    store.fail_next("keys", *[ConnectionFailed("away")] * 3)
    watcher.add_key("k1")
    store.wait_until(lambda: store.calls["keys"] == 1)
    watcher.close()
    assert threads_left() == []
