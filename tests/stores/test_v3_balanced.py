"""What a load balancer or a proxy says of a request to etcd v3, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import (
    ApiNotServed,
    ConnectionFailed,
    Denied,
    EtcdWatcherError,
    RequestRejected,
)
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores import v2_served, wire
from etcd_watcher.stores.open import open_store
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_served import serves_v2
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_lineage import Lineage
from tests.stores.http2_server import GRPC, Peer, Script, greeted, message, numbered, serving

TIMEOUT = 10.0


def resets(code: int, number: int, peer: Peer) -> None:
    peer.send(numbered(h2.RST_STREAM, number, code))


def page(status: str, number: int, peer: Peer) -> None:
    peer.send(peer.headers(number, [(":status", status), ("content-type", "text/html")], end=True))


def stops(number: int, peer: Peer) -> None:
    peer.send(peer.headers(number, GRPC), h2.frame(h2.DATA, h2.END_STREAM, number))


def answering(reply: Callable[[int, Peer], None]) -> Script:
    """Reply so to each request."""

    def script(peer: Peer) -> None:
        with suppress(OSError):
            while True:
                reply(peer.take_until(h2.HEADERS)[2], peer)

    return greeted(script)


WAYS: dict[str, Callable[[int, Peer], None]] = {
    "stops": stops,
    **{status: partial(page, status) for status in ("408", "500", "503", "504")},
    **{f"reset {code}": partial(resets, code) for code in (1, 2, 7, 8, 11)},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_lost_on_the_way_may_have_been_done_and_is_no_refusal(way: str) -> None:
    """It is not our own end either, for which a subscriber that is catching up would give up."""
    with serving(answering(WAYS[way])) as route:
        connection = Connection(f"http://127.0.0.1:{route.port}", Credentials())
        with pytest.raises(ConnectionFailed) as failed:
            connection.call("put", wire.PutRequest(key=b"k"), TIMEOUT)
        assert failed.value.sent  # type: ignore[attr-defined]
        connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_watch_that_is_lost_on_the_way_is_one_that_can_be_opened_again(way: str) -> None:
    with serving(answering(WAYS[way])) as route:
        store = V3Store([f"http://127.0.0.1:{route.port}"])
        watch = store.watch(KeyRange.of_key(b"k"), 0)
        with pytest.raises(ConnectionFailed):
            watch.read()
        assert not store.fragment_next
        watch.close()
        store.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400", RequestRejected),
        ("401", RequestRejected),
        ("403", RequestRejected),  # of which etcd's rights say nothing
        ("404", ApiNotServed),
        ("413", RequestRejected),
    ],
)
def test_a_page_that_refuses_is_a_refusal(status: str, error: type[EtcdWatcherError]) -> None:
    with serving(answering(partial(page, status))) as route:
        connection = Connection(f"http://127.0.0.1:{route.port}", Credentials())
        with pytest.raises(error, match=f"HTTP {status}") as failed:
            connection.call("range", wire.RangeRequest(key=b"k"), TIMEOUT)
        assert not isinstance(failed.value, Denied)
        connection.close()


def status(number: int, peer: Peer) -> None:
    content = wire.StatusResponse(version="3.5.1").SerializeToString()
    peer.send(
        peer.headers(number, GRPC),
        h2.frame(h2.DATA, 0, number, message(content)),
        peer.headers(number, [("grpc-status", "0")], end=True),
    )


def only_http2(peer: Peer) -> None:
    """Have no answer for who does not begin with HTTP/2's preface."""
    with suppress(ConnectionResetError, AssertionError):
        answering(status)(peer)


def bad_gateway(peer: Peer) -> None:
    """Take both, and have nothing from etcd for HTTP/1."""
    come = peer.wire.recv(1 << 16)
    if come.startswith(b"GET "):
        peer.wire.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>")
    else:
        peer._come = come
        answering(status)(peer)


def only_grpc(peer: Peer) -> None:
    """Take both, and wait for an answer to HTTP/1 that does not come."""
    come = peer.wire.recv(1 << 16)
    if come.startswith(b"GET "):
        with suppress(OSError):
            while peer.wire.recv(1 << 16):
                pass
    else:
        peer._come = come
        answering(status)(peer)


@pytest.mark.parametrize("script", [only_http2, bad_gateway, only_grpc])
def test_v3_is_found_where_no_v2_can_be_asked_for(script: Script) -> None:
    with serving(*[script] * 10) as route:
        endpoint = f"http://127.0.0.1:{route.port}"
        found = open_store([endpoint], api="auto", credentials=Credentials(), timeout=2)
        with closing(found):
            assert isinstance(found, V3Store)
        with pytest.raises(ConnectionFailed):
            open_store([endpoint], api="v2", credentials=Credentials(), timeout=0.5)


def test_v2_is_found_where_the_server_was_not_there_just_before(
    etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def starts(endpoint: str, *given: Any, **more: Any) -> bool:
        asked.append(endpoint)
        if len(asked) == 1:
            raise ConnectionFailed("connection refused")
        return serves_v2(endpoint, *given, **more)

    monkeypatch.setattr(v2_served, "serves_v2", starts)
    found = open_store([etcd.url], api="auto", credentials=Credentials(), timeout=TIMEOUT)
    with closing(found):
        assert isinstance(found, V2Store)
    assert len(asked) == 2


def test_a_value_before_is_found_where_another_member_is_asked_that_is_behind(
    etcd: LocalEtcd, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a load balancer may have it: a member says of what it has not heard of that it is to come."""
    key = fresh_key.encode()
    with closing(V3Store([etcd.url])) as store:
        connection = store.connection()
        first = store.put(key, b"before", None, TIMEOUT)
        last = store.put(key, b"now", None, TIMEOUT)
        begin = connection.begin

        def behind(name: str, requests: list[Any], timeout: float) -> Iterator[Callable[[], Any]]:
            for each in requests:
                later = wire.RangeRequest(key=each.key, revision=1 << 40, serializable=True)
                yield from begin(name, [later], timeout)

        monkeypatch.setattr(connection, "begin", behind)
        row = (key, b"now", last, first, 2, 0)
        (event,) = Lineage(connection).decode([row], first, last)
        assert event.raw_prev_value == b"before"
