"""Requests under way when the connection is replaced."""

from __future__ import annotations

from contextlib import closing

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from tests.stores.v3_failing.failures import TIMEOUT, Scripted, begun
from tests.threads import in_thread


@pytest.fixture
def replaced_first(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connection replaced between being asked for and being used, the first time."""
    given = store._requests._present
    times = iter([True])

    def present() -> tuple[Connection, int]:
        found = given()
        if next(times, False):
            store.rotate(store.turn)
        return found

    monkeypatch.setattr(store._requests, "_present", present)


@pytest.mark.usefixtures("replaced_first")
def test_a_read_is_made_on_the_new_connection(store: V3Store) -> None:
    assert store.revision(TIMEOUT) >= 1


@pytest.mark.usefixtures("replaced_first")
def test_a_write_is_made_on_the_new_connection_where_it_was_not_sent_on_the_old(
    store: V3Store, fresh_key: str
) -> None:
    revision = store.put(fresh_key.encode(), b"v", None, TIMEOUT)
    found = store.get(fresh_key.encode(), TIMEOUT)
    assert found is not None
    assert (found.revision, found.version) == (revision, 1)


@pytest.mark.usefixtures("replaced_first")
def test_a_watch_fails_as_one_that_can_be_opened_again(store: V3Store) -> None:
    with pytest.raises(ConnectionFailed, match="was replaced"):
        store.watch(KeyRange.of_key(b"k"), 0)
    watch = store.watch(KeyRange.of_key(b"k"), 0)
    assert watch.read().opened
    watch.close()


def test_a_read_that_hangs_when_the_connection_is_replaced_is_made_again(
    paused_first: V3Store,
) -> None:
    thread, found = in_thread(lambda: paused_first.revision(60))
    assert thread.is_alive()
    paused_first.rotate(0)
    thread.join(TIMEOUT)
    assert isinstance(found[0], int)


def test_a_write_under_way_when_the_connection_is_replaced_is_not_made_again(
    paused_first: V3Store, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = begun(paused_first, monkeypatch, "put")
    thread, found = in_thread(lambda: paused_first.put(fresh_key.encode(), b"v", None, 60))
    assert sent.wait(TIMEOUT)
    paused_first.rotate(0)
    thread.join(TIMEOUT)
    assert "it may have done so, or not" in str(found[0])
    assert paused_first.get(fresh_key.encode(), TIMEOUT) is None


def test_what_is_under_way_when_the_connection_is_replaced_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As behind a load balancer, which ends a watch, and has nothing against a write beside it."""
    with LocalEtcd() as etcd, closing(V3Store([etcd.url])) as store:
        assert store.revision(TIMEOUT) == 1
        sent = begun(store, monkeypatch, "put")
        etcd.pause()
        thread, found = in_thread(lambda: store.put(b"k", b"v", None, 60))
        assert sent.wait(TIMEOUT)
        store.rotate(0)
        etcd.resume()
        thread.join(TIMEOUT)
        assert found == [2]
        assert store.revision(TIMEOUT) == 2
        assert store._requests._left[0].is_over


def test_what_comes_behind_a_write_that_was_lost_with_its_connection_goes_elsewhere(
    store: V3Store, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.connection()
    lost = first.failed("the connection was reset")
    monkeypatch.setattr(first, "call", Scripted(first.call, lost))
    with pytest.raises(ConnectionFailed, match="it may have done so, or not"):
        store.put(fresh_key.encode(), b"v", None, TIMEOUT)
    assert store.connection() is not first
    assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1


@pytest.mark.parametrize("ask", ["greeting", "login"])
def test_a_write_whose_connection_is_replaced_before_it_is_sent_is_made_on_the_new_one(
    ask: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = "luis" if ask == "login" else None
    first = "authenticate" if ask == "login" else "status"
    with LocalEtcd() as paused, LocalEtcd(user=user) as server:
        credentials = Credentials(server.user, server.password)
        with closing(V3Store([paused.url, server.url], credentials=credentials)) as store:
            paused.pause()
            sent = begun(store, monkeypatch, first, soon=True)
            thread, found = in_thread(lambda: store.put(b"k", b"v", None, 60))
            assert sent.wait(TIMEOUT)
            store.rotate(0)
            thread.join(TIMEOUT)
            assert isinstance(found[0], int), found
