"""Calls on connections that the server closes, leaves or spoils."""

from __future__ import annotations

import os
import threading

import psutil

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import WINDOW
from etcd_watcher.stores.rpc import StatusCode
from tests.eventually import eventually
from tests.stores.http2_server import (
    ECHO,
    GRPC,
    PATIENCE,
    Open,
    Peer,
    channel_of,
    failure,
    goodbye,
    greeted,
    message,
    serving,
    told,
)  # fmt: skip


def test_an_idle_connection_that_the_server_has_closed_is_not_used(opened: Open) -> None:
    def once(peer: Peer) -> None:
        peer.answer(peer.request().number, b"once")
        asked.append(1)

    asked: list[int] = []
    with serving(greeted(once), greeted(once), greeted(once)) as route:
        method = opened(route)
        for count in range(3):
            assert method(b"") == b"once"
            assert eventually(lambda: closed_by_others() == 1)
            assert len(asked) == count + 1
        channel_of(method).close()


def closed_by_others() -> int:
    """Give how many of our connections the other side has closed."""
    return sum(
        each.status == psutil.CONN_CLOSE_WAIT for each in psutil.Process().net_connections("tcp")
    )


def test_a_connection_that_the_server_leaves_gives_its_answers_yet(opened: Open) -> None:
    go_on = threading.Event()

    def first(peer: Peer) -> None:
        number = peer.request().number
        answer = h2.frame(h2.DATA, 0, number, message(b"a"))
        peer.send(peer.headers(number, GRPC), answer, goodbye(number))
        assert go_on.wait(PATIENCE)
        peer.send(h2.frame(h2.DATA, 0, number, message(b"b")))
        peer.send(peer.headers(number, [("grpc-status", "0")], end=True))
        peer.drain()
        left.append(1)

    left: list[int] = []
    with serving(greeted(first), ECHO) as route:
        method = opened(route)
        call = method.begin(b"")
        assert call.read(PATIENCE) == b"a"
        assert method(b"new") == b"new"
        go_on.set()
        assert list(call) == [b"b"]
        assert eventually(lambda: bool(left))  # we have closed it
        assert method(b"again") == b"again"
        channel_of(method).close()


def test_a_server_that_is_leaving_is_answered_yet(opened: Open) -> None:
    """A large answer needs credit, and gRPC's servers send a PING with their farewell."""
    much = os.urandom(3 * WINDOW)

    def script(peer: Peer) -> None:
        number = peer.request().number
        peer.send(peer.headers(number, GRPC), goodbye(2**31 - 1))
        peer.send(h2.frame(h2.PING, content=b"leaving?"))
        assert peer.take_until(h2.PING, ack=True)[3] == b"leaving?"
        left, window = message(much), WINDOW
        while left:
            size = min(window, h2.FRAME_BYTES)
            peer.send(h2.frame(h2.DATA, 0, number, left[:size]))
            left, window = left[size:], window - size
            while left and window == 0:
                credit = peer.take_until(h2.WINDOW_UPDATE)
                window += int.from_bytes(credit[3], "big") * (credit[2] == number)
        peer.send(peer.headers(number, [("grpc-status", "0")], end=True))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert method(b"", timeout=PATIENCE) == much
        channel_of(method).close()


def test_a_connection_that_the_server_leaves_is_let_go_with_its_last_call(opened: Open) -> None:
    def first(peer: Peer) -> None:
        number = peer.request().number
        peer.send(peer.headers(number, GRPC), goodbye(number))
        peer.drain()
        left.append(1)

    left: list[int] = []
    with serving(greeted(first), ECHO) as route:
        method = opened(route)
        call = method.begin(b"")
        assert call.read(0.05) is None
        assert method(b"new") == b"new"
        call.cancel()
        assert eventually(lambda: bool(left))
        assert failure(call.read).code is StatusCode.CANCELLED
        channel_of(method).close()


def test_a_server_that_dies_in_the_middle_may_have_done_it(opened: Open) -> None:
    def script(peer: Peer) -> None:
        number = peer.request().number
        peer.send(peer.headers(number, GRPC))
        peer.send(h2.frame(h2.DATA, 0, number, message(b"whole") + message(b"half")[:7]))

    with serving(greeted(script), ECHO) as route:
        method = opened(route)
        call = method.begin(b"")
        assert call.read(PATIENCE) == b"whole"
        for _ in range(2):
            assert told(failure(call.read)) == (StatusCode.UNAVAILABLE, True)
        assert method(b"new") == b"new"
        channel_of(method).close()


def test_a_server_that_breaks_the_rules_is_lost(opened: Open) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff\xff"))
        peer.drain()

    with serving(greeted(script), ECHO) as route:
        method = opened(route)
        assert told(failure(method, b"")) == (StatusCode.UNAVAILABLE, True)
        assert method(b"new") == b"new"
        channel_of(method).close()
