"""How long each request of several may take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import Conflict, ConnectionFailed, Denied
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import wire
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from tests.stores.v3_failing.failures import TIMEOUT


@pytest.mark.parametrize(
    ("ask", "second", "longest"),
    [
        (lambda store: store.put(b"k", b"v", 60, 3), "put", 1.5),
        (lambda store: store.compare_and_put(b"k", b"v", 0, 3, ttl=60), "txn", 1.5),
        (lambda store: store.time_left(b"k", 3), "time_to_live", 0.75),
        (lambda store: store.cluster(3), "members", 0.75),
    ],
)
def test_what_takes_two_requests_takes_no_longer_than_one(
    paused_first: V3Store,
    etcd: LocalEtcd,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[V3Store], object],
    second: str,
    longest: float,
) -> None:
    """The first takes half of the time, and what only reads has half of the rest at each."""
    with closing(V3Store([etcd.url], credentials=Credentials())) as store:
        store.put(b"k", b"v", 60, TIMEOUT)
    given, timeouts = Connection.call, []

    def call(self: Connection, name: str, request: Any, timeout: float) -> Any:
        if name == second:
            timeouts.append(timeout)
        return given(self, name, request, timeout)

    monkeypatch.setattr(Connection, "call", call)
    with suppress(ConnectionFailed, Conflict):  # the first endpoint is still the one in use
        ask(paused_first)
    assert timeouts[0] <= longest


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.learn_rights(3),
        lambda store: store.revision(3),
    ],
)
def test_what_a_user_may_read_takes_no_longer_to_ask_than_one_request(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[V3Store], object]
) -> None:
    timeouts = []

    def read(name: str, _: object, timeout: float) -> object:
        timeouts.append(timeout)
        if name == "user":
            return wire.UserGetResponse(roles=["one", "other"])
        if name == "role":
            return wire.RoleGetResponse()
        raise Denied("permission denied")

    store = V3Store(["http://127.0.0.1:1"], credentials=Credentials(user="luis", password="secret"))
    with closing(store):
        monkeypatch.setattr(store._requests, "read", read)
        with suppress(Denied):
            ask(store)
    assert len(timeouts) >= 3
    assert timeouts == sorted(timeouts, reverse=True)
    assert len(set(timeouts)) == len(timeouts)


def test_a_login_that_takes_too_long_leaves_nobody_and_names_the_endpoint(etcd: LocalEtcd) -> None:
    store = V3Store([etcd.url], credentials=Credentials(user="luis", password="secret"))
    with closing(store):
        store._login._asked.add(etcd.url)  # as by somebody who is logging in
        connection = store.connection()
        with pytest.raises(ConnectionFailed, match=etcd.url) as failed:
            store.put(b"k", b"v", None, 0.1)
        assert type(failed.value) is ConnectionFailed  # no name that nobody knows
        assert store.connection() is connection
