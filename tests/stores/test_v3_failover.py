"""Requests that are under way while the feed goes on to another endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import wire
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection

TIMEOUT = 10.0


@pytest.fixture
def store(etcd: LocalEtcd) -> Iterator[V3Store]:
    made = V3Store([etcd.url, etcd.url], credentials=Credentials())
    yield made
    made.close()


@pytest.fixture
def replaced_first(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connection replaced between being asked for and being used, the first time."""
    given = store.connection
    times = iter([True])

    def connection() -> Connection:
        found = given()
        if next(times, False):
            store.rotate()
        return found

    monkeypatch.setattr(store, "connection", connection)


@pytest.mark.usefixtures("replaced_first")
def test_a_read_is_made_again_on_the_new_connection(store: V3Store) -> None:
    assert store.revision(TIMEOUT) >= 1


@pytest.mark.usefixtures("replaced_first")
def test_a_write_is_not_made_again_because_it_may_have_been_carried_out(
    store: V3Store, fresh_key: str
) -> None:
    with pytest.raises(ConnectionFailed, match="was replaced"):
        store.put(fresh_key.encode(), b"v", None, TIMEOUT)
    assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1


@pytest.mark.usefixtures("replaced_first")
def test_a_watch_fails_as_one_that_can_be_opened_again(store: V3Store) -> None:
    with pytest.raises(ConnectionFailed, match="was replaced"):
        store.watch(KeyRange.of_key(b"k"), 0)
    watch = store.watch(KeyRange.of_key(b"k"), 0)
    assert watch.read().opened
    watch.close()


def test_a_read_that_hangs_when_the_connection_is_replaced_is_made_again(etcd: LocalEtcd) -> None:
    with LocalEtcd() as paused:
        store = V3Store([paused.url, etcd.url], credentials=Credentials())
        assert store.revision(TIMEOUT) == 1
        paused.pause()
        found: list[int] = []
        reader = threading.Thread(target=lambda: found.append(store.revision(TIMEOUT)))
        reader.start()
        assert not found
        store.rotate()
        reader.join(TIMEOUT)
        assert found[0] >= 1
        store.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.revision(TIMEOUT),
        lambda store: store.put(b"k", b"v", None, TIMEOUT),
        lambda store: store.watch(KeyRange.of_key(b"k"), 0),
        lambda store: store.time_left(b"k", TIMEOUT),
    ],
)
def test_once_closed_it_says_so(store: V3Store, ask: Callable[[V3Store], object]) -> None:
    store.close()
    with pytest.raises(StoreClosed):
        ask(store)


def test_a_closed_channel_is_no_defect(etcd: LocalEtcd) -> None:
    connection = Connection(etcd.url, Credentials())
    connection.close()
    with pytest.raises(StoreClosed):
        connection.call("status", wire.StatusRequest(), TIMEOUT)
