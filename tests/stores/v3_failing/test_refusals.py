"""Servers that refuse a request, or end it and have not refused it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from etcd_watcher.errors import Conflict, ConnectionFailed, RequestRejected, StoreClosed
from etcd_watcher.stores import v3_requests, wire
from etcd_watcher.stores.rpc import RpcError, StatusCode
from etcd_watcher.stores.v3 import V3Store
from tests.stores.v3_failing.failures import TIMEOUT, Scripted


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ("context deadline exceeded", "no answer in time"),
        ("context canceled", "the server is stopping"),
        ("etcdserver: request canceled", "request canceled"),
        ("raft: stopped", "the server is stopping"),
    ],
)
def test_a_server_that_drops_a_write_has_not_refused_it(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, details: str, reason: str
) -> None:
    """Etcd says so with the code UNKNOWN or CANCELLED; the write may have been carried out."""
    calls = store.connection().calls
    code = StatusCode.CANCELLED if "etcd" in details else StatusCode.UNKNOWN
    call = Scripted(calls["put"], RpcError(code, details))
    monkeypatch.setitem(calls, "put", call)
    with pytest.raises(ConnectionFailed, match=f"{reason}.*it may have done so, or not"):
        store.put(b"k", b"v", None, TIMEOUT)
    assert call.calls == 1


def test_a_server_that_cancels_all_is_given_up(
    store: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = store.connection()
    call = Scripted(connection.call, *[StoreClosed("cancelled")] * 1000)
    monkeypatch.setattr(connection, "call", call)
    with pytest.raises(ConnectionFailed):
        store.revision(TIMEOUT)
    assert call.calls == v3_requests.TRIES * len(store.endpoints)


@pytest.mark.parametrize(
    ("write", "refusal"),
    [
        (lambda store, key: store.compare_and_put(key, b"v", 1, TIMEOUT, ttl=600), Conflict),
        (lambda store, key: store.put(key, b"v" * 4_000_000, 600, TIMEOUT), RequestRejected),
    ],
)
def test_a_write_that_is_refused_leaves_no_lease(
    store: V3Store,
    fresh_key: str,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[V3Store, bytes], object],
    refusal: type[Exception],
) -> None:
    given, leases = store._requests.read, []

    def read(name: str, request: Any, timeout: float) -> Any:
        answer = given(name, request, timeout)
        if name == "grant":
            leases.append(answer.ID)
        return answer

    monkeypatch.setattr(store._requests, "read", read)
    with pytest.raises(refusal):
        write(store, fresh_key.encode())
    life = given("time_to_live", wire.LeaseTimeToLiveRequest(ID=leases[0]), TIMEOUT)
    assert life.TTL == -1
