"""What a store says that is closed, before a request or meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import wire
from etcd_watcher.stores.rpc import ChannelClosed
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_events import ended
from tests.stores.v3_failing.failures import TIMEOUT, always, begun
from tests.threads import in_thread


def test_closing_ends_a_large_read_under_way(
    paused_first: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, asked = Connection.call, threading.Event()

    def call(self: Connection, *arguments: Any) -> Any:
        asked.set()
        return given(self, *arguments)

    monkeypatch.setattr(Connection, "call", call)
    thread, found = in_thread(lambda: paused_first.snapshot(KeyRange.of_prefix(b""), None, 60))
    assert asked.wait(TIMEOUT)
    paused_first.close()
    thread.join(TIMEOUT)
    assert isinstance(found[0], StoreClosed)


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


def test_closing_ends_a_request_under_way(
    paused_first: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = begun(paused_first, monkeypatch, "put")
    thread, found = in_thread(lambda: paused_first.put(b"k", b"v", None, 60))
    assert sent.wait(TIMEOUT)
    paused_first.close()
    thread.join(TIMEOUT)
    assert isinstance(found[0], StoreClosed)


def test_closing_ends_what_is_under_way_on_a_connection_that_was_left(
    paused_first: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = begun(paused_first, monkeypatch, "put")
    thread, found = in_thread(lambda: paused_first.put(b"k", b"v", None, 60))
    assert sent.wait(TIMEOUT)
    paused_first.rotate(0)
    paused_first.close()
    thread.join(TIMEOUT)
    assert isinstance(found[0], StoreClosed)


def test_leases_that_are_asked_for_on_a_closed_channel_are_no_defect_either(
    etcd: LocalEtcd,
) -> None:
    connection = Connection(etcd.url, Credentials())
    connection.close()
    with pytest.raises(StoreClosed):  # which a watch knows: its connection was replaced
        ended([1], connection)


def test_a_closed_channel_is_no_defect(etcd: LocalEtcd) -> None:
    connection = Connection(etcd.url, Credentials())
    connection.close()
    with pytest.raises(ChannelClosed):
        connection.call("status", wire.StatusRequest(), TIMEOUT)


def test_closing_ends_a_request_beside(
    paused_first: V3Store, etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = paused_first.endpoint
    with closing(V3Store([etcd.url, paused], credentials=Credentials())) as store:
        connection, connect = store.connection(), store._requests._connect
        late = connection.failed("no answer in time", late=True)
        monkeypatch.setattr(Connection, "call", always(connection, late))
        beside = threading.Event()

        def note(endpoint: str) -> Connection:
            beside.set()
            return connect(endpoint)

        monkeypatch.setattr(store._requests, "_connect", note)
        thread, found = in_thread(lambda: store.revision(60))
        assert beside.wait(TIMEOUT)
        store.close()
        thread.join(TIMEOUT)
        assert isinstance(found[0], StoreClosed)
