"""Requests that are larger than what the server takes at once."""

from __future__ import annotations

import os
import threading

import pytest

from etcd_watcher.stores import http2
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import AT_FIRST
from etcd_watcher.stores.rpc import StatusCode
from tests.stores.http2_server import (
    ECHO,
    GRPC,
    PATIENCE,
    Open,
    Peer,
    channel_of,
    failure,
    greeted,
    message,
    numbered,
    serving,
    told,
)  # fmt: skip


def test_much_is_sent_as_the_server_lets_us(opened: Open) -> None:
    much = os.urandom(3 * 1024 * 1024)

    def script(peer: Peer) -> None:
        while True:
            kind, flags, number, content = peer.take()
            if kind == h2.DATA and content:
                peer.send(*(numbered(h2.WINDOW_UPDATE, each, len(content)) for each in (0, number)))
            if kind == h2.DATA and flags & h2.END_STREAM:
                break
        assert bytes(peer.asked[number].content) == message(much)
        peer.answer(number, much)
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert method(much) == much
        channel_of(method).close()


@pytest.mark.parametrize("size", [100_000, 10 * 1024 * 1024])
def test_a_server_that_takes_no_more_is_lost(
    opened: Open, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "TAKEN", 0.2)
    over = threading.Event()

    def deaf(peer: Peer) -> None:
        peer.send(numbered(h2.WINDOW_UPDATE, 0, 2**30))
        assert over.wait(PATIENCE)

    window = AT_FIRST if size == 100_000 else 2**31 - 1
    with serving(greeted(deaf, (h2.INITIAL_WINDOW, window)), ECHO) as route:
        method = opened(route)
        assert told(failure(method, bytes(size))) == (StatusCode.UNAVAILABLE, True)
        over.set()
        monkeypatch.undo()
        assert method(b"new") == b"new"
        channel_of(method).close()


def test_a_request_that_is_not_taken_in_its_time_is_late_and_alone(opened: Open) -> None:
    """The server lets others send: nobody has to wait for one of whom nothing is taken."""
    over = threading.Event()

    def deaf_to_one(peer: Peer) -> None:
        peer.send(numbered(h2.WINDOW_UPDATE, 0, 2**30))
        peer.take_until(h2.RST_STREAM)
        peer.answer(peer.take_until(h2.HEADERS)[2], b"another")
        assert over.wait(PATIENCE)

    with serving(greeted(deaf_to_one, (h2.INITIAL_WINDOW, AT_FIRST))) as route:
        method = opened(route)
        late = failure(method, bytes(100_000), timeout=0.2)
        assert told(late) == (StatusCode.DEADLINE_EXCEEDED, True)
        assert method(b"x") == b"another"
        over.set()
        channel_of(method).close()


def test_a_refusal_while_much_is_sent_is_told(opened: Open) -> None:
    def script(peer: Peer) -> None:
        number = peer.take_until(h2.DATA)[2]
        refusal = [*GRPC, ("grpc-status", "8"), ("grpc-message", "too much")]
        peer.send(peer.headers(number, refusal, end=True))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        error = failure(method, bytes(3 * 1024 * 1024))
        assert (error.code, error.details) == (StatusCode.RESOURCE_EXHAUSTED, "too much")
        channel_of(method).close()
