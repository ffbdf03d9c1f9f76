"""Requests of a v3 store to members without a leader: who is waited for, and who is asked instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.local import LocalCluster, LocalEtcd
from etcd_watcher.stores import wire
from etcd_watcher.stores.rpc import RpcError, StatusCode
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection, RequestFailed
from etcd_watcher.stores.v3_requests import ELECTION, LEADERLESS
from tests.stores.v3_failing.failures import TIMEOUT, Scripted, always

AMPLE = 60.0
"""Seconds for requests that get their answer elsewhere, however slow that is."""


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster() as made:
        yield made


def test_a_read_waits_for_a_leader(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = store.connection()
    lost = connection.failed("leader changed", will_pass=True)
    call = Scripted(connection.call, *[lost] * 7)
    monkeypatch.setattr(connection, "call", call)
    assert store.revision(TIMEOUT) >= 1
    assert call.calls == 8
    assert store.connection() is connection


def test_a_write_waits_for_a_leader_where_it_was_not_taken(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    connection = store.connection()
    refused = connection.failed("no leader", sent=False, will_pass=True)
    monkeypatch.setattr(connection, "call", Scripted(connection.call, *[refused] * 7))
    assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
    lost = connection.failed("leader changed", will_pass=True)
    call = Scripted(connection.call, lost)
    monkeypatch.setattr(connection, "call", call)
    with pytest.raises(ConnectionFailed, match="it may have done so, or not"):
        store.put(fresh_key.encode(), b"v", None, TIMEOUT)
    assert call.calls == 1


def test_it_does_not_wait_longer_than_it_was_given(
    store: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = store.connection()
    lost = connection.failed("no leader", sent=False, will_pass=True)
    monkeypatch.setattr(connection, "call", Scripted(connection.call, *[lost] * 1000))
    with pytest.raises(ConnectionFailed, match="no leader"):
        store.put(b"k", b"v", None, 0.2)


def test_a_read_goes_on_while_leaders_end(cluster: LocalCluster) -> None:
    urls = [each.url for each in cluster.members.values()]
    with closing(V3Store(urls, credentials=Credentials())) as store:
        store.put(b"k", b"v", None, TIMEOUT)
        for _ in range(3):
            cluster.faults.kill(cluster.leader)
            for _ in range(50):
                found = store.get(b"k", TIMEOUT)
                assert found is not None
                assert found.raw_value == b"v"
            cluster.faults.heal()


def test_a_write_without_a_leader_goes_elsewhere_and_tears_nothing(
    two: V3Store, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    connection = two.connection()
    refused = connection.failed("no leader", sent=False, will_pass=True)
    monkeypatch.setattr(Connection, "call", always(connection, refused))
    assert two.put(fresh_key.encode(), b"v", None, AMPLE) > 1
    assert two.connection() is connection


def test_an_endpoint_without_a_leader_is_asked_for_a_second_and_no_longer(
    two: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = two.connection()
    lost = connection.failed("no leader", sent=False, will_pass=True)
    call = Scripted(connection.call, *[lost] * 10_000)
    monkeypatch.setattr(connection, "call", call)
    assert two.revision(AMPLE) >= 1
    assert 1 < call.calls <= 1 + LEADERLESS / ELECTION


def test_a_read_without_a_leader_goes_elsewhere(
    two: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = two.connection()
    lost = connection.failed("leader changed", will_pass=True)
    monkeypatch.setattr(Connection, "call", always(connection, lost))
    assert two.revision(AMPLE) >= 1
    assert two.connection() is connection


@pytest.mark.parametrize("ask", ["put", "revision"])
def test_who_had_no_leader_is_asked_last_for_a_while(
    two: V3Store, monkeypatch: pytest.MonkeyPatch, fresh_key: str, ask: str
) -> None:
    connection = two.connection()
    given, asked = Connection.call, []

    def call(self: Connection, *arguments: Any) -> Any:
        asked.append(self.endpoint)
        if self is connection:
            raise self.failed("no leader", sent=False, will_pass=True)
        return given(self, *arguments)

    def once() -> int:
        if ask == "put":
            return two.put(fresh_key.encode(), b"v", None, AMPLE)
        return two.revision(AMPLE)

    monkeypatch.setattr(Connection, "call", call)
    assert once() >= 1
    asked.clear()
    assert once() >= 1
    assert asked == [two.endpoints[1]]
    assert two.connection() is connection
    monkeypatch.undo()
    two._requests._absences.forget(two.endpoint)
    assert once() >= 1
    assert two.connection() is connection


def test_who_had_no_leader_is_asked_when_nobody_else_is_there(
    etcd: LocalEtcd, fresh_key: str
) -> None:
    with LocalEtcd() as gone:
        away = gone.url
    with closing(V3Store([etcd.url, away], credentials=Credentials())) as store:
        store._requests._absences.note(etcd.url)
        assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
        assert etcd.url not in store._requests._absences


def test_a_member_cut_off_from_the_others_says_so_and_the_others_take_the_write(
    fresh_key: str,
) -> None:
    with LocalCluster(election_timeout=0.2) as cluster:
        alone, *others = cluster.members.values()
        cluster.faults.isolate(alone)
        with closing(Connection(alone.url, Credentials())) as connection:
            no_leader = None
            while no_leader is None:
                try:
                    connection.call("range", wire.RangeRequest(key=b"k"), 0.1)
                except RequestFailed as error:
                    no_leader = error if error.will_pass else None
        assert (no_leader.reason, no_leader.sent) == ("no leader", False)
        urls = [each.url for each in (alone, *others)]
        key = fresh_key.encode()
        with closing(V3Store(urls, credentials=Credentials())) as store:
            store.put(key, b"v", None, AMPLE)
            found = store.get(key, AMPLE)
            assert found is not None
            assert (found.version, store.endpoint) == (1, alone.url)
            for each in others:
                cluster.faults.kill(each)
            with pytest.raises(ConnectionFailed, match=f"{alone.url}: no leader") as failed:
                store.put(key, b"v", None, 4)
        assert "it may have done so" not in str(failed.value)


@pytest.mark.parametrize(
    "details", ["request timed out", "request timed out, possibly due to connection lost"]
)
def test_an_endpoint_that_hears_nothing_of_its_leader_is_not_left(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, details: str
) -> None:
    """Its connection is whole, and others have their watch on it."""
    connection = store.connection()
    told = RpcError(StatusCode.UNAVAILABLE, f"etcdserver: {details}")
    for name in ("put", "range"):
        monkeypatch.setitem(connection.calls, name, Scripted(connection.calls[name], told))
    with pytest.raises(ConnectionFailed, match=f"{details}.*it may have done so, or not"):
        store.put(b"k", b"v", None, TIMEOUT)
    assert store.revision(TIMEOUT) >= 1
    assert store.connection() is connection


def test_a_write_that_a_leader_dropped_while_handing_over_is_made_again(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    told = RpcError(StatusCode.UNKNOWN, "raft proposal dropped")
    connection = store.connection()
    monkeypatch.setitem(connection.calls, "put", Scripted(connection.calls["put"], told))
    assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
    assert store.connection() is connection
