"""Calls for which a connection is made, or cannot be."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from functools import partial

import pytest

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.rpc import RpcError, StatusCode
from tests.stores.http2_server import (
    ECHO,
    PATIENCE,
    Open,
    Peer,
    Script,
    channel_of,
    ended,
    failure,
    goodbye,
    serving,
    told,
)  # fmt: skip
from tests.stores.rpc.scripts import nothing
from tests.threads import in_thread


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
        assert isinstance(port, int)
        return port


def test_where_nobody_listens_nothing_is_sent(opened: Open) -> None:
    method = opened(Route("127.0.0.1", refused_port(), None, None))
    for _ in range(2):
        error = failure(method, b"", timeout=PATIENCE)
        assert told(error) == (StatusCode.UNAVAILABLE, False)
        assert "refused" in error.details


def test_a_host_that_is_not_known_is_named(opened: Open) -> None:
    error = failure(opened(Route("no-such-host.invalid", 1, None, None)), b"")
    assert told(error) == (StatusCode.UNAVAILABLE, False)
    assert "no-such-host.invalid" in error.details


def test_an_address_of_a_kind_that_is_not_here_is_passed_over(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = (9999, socket.SOCK_STREAM, 0, "", ("", 0))
    with serving(ECHO) as route:
        known = socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [strange, *known])
        method = opened(route)
        assert method(b"hello") == b"hello"
        channel_of(method).close()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [strange])
        error = failure(opened(route), b"")
        assert told(error) == (StatusCode.UNAVAILABLE, False)
        assert "family not supported" in error.details


def test_a_host_may_have_addresses_at_which_nobody_listens(opened: Open) -> None:
    with serving(ECHO) as route:
        method = opened(route._replace(host="localhost"))  # ::1, too, where there is IPv6
        assert method(b"hello") == b"hello"
        channel_of(method).close()


@pytest.mark.parametrize("timeout", [0.2, PATIENCE, None])
def test_a_silent_server_is_given_up_before_anything_is_sent(
    opened: Open, timeout: float | None
) -> None:
    with serving(nothing) as route:
        error = failure(opened(route, connecting=0.3), b"", timeout=timeout)
    late = StatusCode.DEADLINE_EXCEEDED if timeout == 0.2 else StatusCode.UNAVAILABLE
    assert told(error) == (late, False)


def test_whoever_waits_longer_tries_by_themselves(opened: Open) -> None:
    reached = threading.Event()

    def silent(peer: Peer) -> None:
        reached.set()
        nothing(peer)

    with serving(silent, ECHO) as route:
        method = opened(route)
        short = in_thread(partial(method, b"", timeout=0.5))
        assert reached.wait(PATIENCE)
        assert method(b"long", timeout=PATIENCE) == b"long"
        error = ended(*short)
        assert isinstance(error, RpcError)
        assert told(error) == (StatusCode.DEADLINE_EXCEEDED, False)
        channel_of(method).close()


def http1(peer: Peer) -> None:
    with suppress(OSError):
        peer.wire.recv(1 << 16)
        peer.wire.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + b"x" * 40_000)


def alert(peer: Peer) -> None:
    with suppress(OSError):
        peer.wire.recv(1 << 16)
        peer.wire.sendall(bytes.fromhex("15030100020246"))


def hangs_up(peer: Peer) -> None:
    peer.wire.recv(1)


@pytest.mark.parametrize(
    ("script", "said"), [(http1, "answers in HTTP/1"), (alert, ""), (hangs_up, "")]
)
def test_who_speaks_something_else_is_asked_nothing(
    opened: Open, script: Script, said: str
) -> None:
    with serving(script) as route:
        error = failure(opened(route), b"", timeout=PATIENCE)
    assert told(error) == (StatusCode.UNAVAILABLE, False)
    assert said in error.details


@pytest.mark.parametrize("way", ["leaving", "full"])
def test_a_server_that_takes_no_requests_is_not_asked_again_and_again(
    opened: Open, way: str
) -> None:
    def script(peer: Peer) -> None:
        come.append(1)
        peer.take_preface()
        full = struct.pack(">HL", h2.MAX_STREAMS, 0) * (way == "full")
        peer.send(h2.frame(h2.SETTINGS, content=full) + goodbye(0) * (way == "leaving"))
        peer.drain()

    come: list[int] = []
    with serving(*[script] * 50) as route:
        method = opened(route)
        assert told(failure(method, b"")) == (StatusCode.UNAVAILABLE, False)
        assert len(come) <= 3
        channel_of(method).close()


def test_many_who_begin_at_once_share_a_connection(opened: Open) -> None:
    with serving(ECHO) as route:
        method = opened(route)
        asked = [in_thread(partial(method, bytes([each]))) for each in range(20)]
        assert [ended(*each) for each in asked] == [bytes([each]) for each in range(20)]
        channel_of(method).close()
