"""Requests of a v3 store whose endpoint goes away, comes back, or is left by the feed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v3_connection, v3_requests, wire
from etcd_watcher.stores.rpc import RpcError, StatusCode
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from tests.stores.v3_failing.failures import TIMEOUT, Scripted
from tests.threads import in_thread


def test_another_endpoint_is_read_from_where_the_one_in_use_does_not_answer(
    paused_first: V3Store, etcd: LocalEtcd
) -> None:
    first, second = paused_first.endpoints
    assert second == etcd.url
    # Half of it is less than the 2 s after which gRPC misses a sign of life, and the endpoint is left.
    assert paused_first.revision(3) >= 1
    assert paused_first.endpoint == first  # that is for the feed to judge


def test_the_past_is_read_elsewhere_where_the_endpoint_in_use_does_not_answer(
    paused_first: V3Store, etcd: LocalEtcd, fresh_key: str
) -> None:
    etcd.put(fresh_key, "v")
    scope = KeyRange.of_prefix(fresh_key.encode())
    now = paused_first.snapshot(scope, None, 3)
    assert [each.raw_value for each in now.items] == [b"v"]
    assert paused_first.snapshot(scope, now.revision - 1, 3).items == []
    assert paused_first.endpoint == paused_first.endpoints[0]


def test_all_are_named_where_none_answers() -> None:
    with LocalEtcd() as paused, LocalEtcd() as gone:
        store = V3Store([paused.url, gone.url], credentials=Credentials())
        assert store.revision(TIMEOUT) == 1
        paused.pause()
        gone.stop()
        with pytest.raises(ConnectionFailed) as failed, closing(store):
            store.revision(1)
        assert f"{paused.url}: no answer in time; {gone.url}: connection refused" in str(
            failed.value
        )


def test_all_are_named_where_no_time_was_left_to_ask_them(two: V3Store) -> None:
    two._requests._absences.note(two.endpoint)  # so that the others are asked first
    with pytest.raises(ConnectionFailed) as failed:
        two._requests.read("range", wire.RangeRequest(key=b"k"), 0.0)
    for url in two.endpoints:
        assert f"{url}: no time was left to ask it" in str(failed.value)


@pytest.mark.parametrize("watched", [False, True])
def test_a_write_goes_to_the_next_endpoint_where_one_is_gone(
    etcd: LocalEtcd, fresh_key: str, *, watched: bool
) -> None:
    with LocalEtcd() as gone:
        store = V3Store([gone.url, etcd.url], credentials=Credentials())
        assert store.revision(TIMEOUT) == 1
        watch = store.watch(KeyRange.of_key(b"k"), 0) if watched else None
        gone.stop()
        with closing(store):
            # The first may learn of the end from its answer; what comes next can not.
            with_luck = in_thread(lambda: store.put(b"first", b"v", None, TIMEOUT))[0]
            with_luck.join(TIMEOUT)
            assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
            assert store.endpoint == etcd.url
            if watch is not None:
                watch.close()


@pytest.mark.parametrize("ask", ["put", "revision"])
def test_a_server_that_is_back_answers_at_once_whatever_was_before(ask: str) -> None:
    with LocalEtcd() as server, closing(V3Store([server.url], credentials=Credentials())) as store:
        watch = store.watch(KeyRange.of_key(b"k"), 0)  # gRPC notices the end by itself
        for number in range(5):
            server.kill()
            with pytest.raises(ConnectionFailed):
                store.revision(TIMEOUT)
            server.start()
            if ask == "put":
                assert store.put(b"k", b"v", None, TIMEOUT) == number + 2
            else:
                assert store.revision(TIMEOUT) == 1
        watch.close()


def test_the_number_of_tries_is_bounded(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def call(self: Connection, *_: object) -> object:
        asked.append(self.endpoint)
        raise self.failed("connection refused", sent=False)

    monkeypatch.setattr(Connection, "call", call)
    with pytest.raises(ConnectionFailed, match="connection refused"):
        store.put(b"k", b"v", None, TIMEOUT)
    assert len(asked) == v3_requests.TRIES * len(store.endpoints)


@pytest.mark.parametrize("refusal", ["rpc not supported for learner", "not capable"])
def test_an_endpoint_that_cannot_serve_is_left(
    two: V3Store, monkeypatch: pytest.MonkeyPatch, fresh_key: str, refusal: str
) -> None:
    told = RpcError(StatusCode.UNAVAILABLE, f"etcdserver: {refusal}")
    calls = two.connection().calls
    monkeypatch.setitem(calls, "put", Scripted(calls["put"], *[told] * 9))
    assert two.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
    assert two.endpoint == two.endpoints[1]


@pytest.fixture
def mute() -> Iterator[str]:
    """Give the URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_what_connects_to_no_answer_never_left(
    mute: str, etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    monkeypatch.setattr(v3_connection, "CONNECTING", 0.2)
    with closing(V3Store([mute, etcd.url], credentials=Credentials())) as store:
        assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
        assert store.endpoint == etcd.url


def test_a_write_whose_time_is_up_while_it_connects_was_never_sent(mute: str) -> None:
    with closing(V3Store([mute], credentials=Credentials())) as store:
        with pytest.raises(ConnectionFailed, match="no answer in time") as failed:
            store.put(b"k", b"v", None, 0.3)
        assert type(failed.value) is ConnectionFailed  # no name that nobody knows
        assert "it may have done so" not in str(failed.value)


def test_a_write_goes_elsewhere_where_the_endpoint_in_use_cannot_be_connected_to(
    mute: str, etcd: LocalEtcd, fresh_key: str
) -> None:
    with closing(V3Store([mute, etcd.url], credentials=Credentials())) as store:
        # Half of it is less than it tries to connect.
        assert store.put(fresh_key.encode(), b"v", None, 3) > 1
        found = store.get(fresh_key.encode(), TIMEOUT)
        assert found is not None
        assert found.version == 1


def test_how_a_cluster_stands_another_endpoint_tells_where_the_one_in_use_is_silent(
    paused_first: V3Store,
) -> None:
    assert paused_first.cluster(5).members


def test_a_write_that_nobody_takes_names_all_who_were_asked() -> None:
    with LocalEtcd() as one, LocalEtcd() as other:
        urls = [one.url, other.url]
    with closing(V3Store(urls, credentials=Credentials())) as store:
        with pytest.raises(ConnectionFailed) as failed:
            store.put(b"k", b"v", None, TIMEOUT)
        for url in urls:
            assert f"{url}: connection refused" in str(failed.value)
