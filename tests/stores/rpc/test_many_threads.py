"""Calls of several threads on one connection."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.rpc import RpcError, StatusCode
from tests.stores.http2_server import (
    GRPC,
    PATIENCE,
    SILENT,
    Open,
    Peer,
    channel_of,
    ended,
    greeted,
    message,
    serving,
)  # fmt: skip
from tests.threads import in_thread, interrupted


def test_each_has_its_own_answer(opened: Open, eager_threads: None) -> None:
    def script(peer: Peer) -> None:
        long = peer.request().number
        peer.send(peer.headers(long, GRPC))
        with suppress(OSError):
            while True:
                asked = peer.request()
                content = bytes(asked.content[5:])
                peer.answer(asked.number, content)
                if content.endswith(b" last"):
                    peer.send(h2.frame(h2.DATA, 0, long, message(content)))

    def ask(who: int) -> int:
        for count in range(200):
            said = f"{who} {count}" + " last" * (count == 199)
            assert method(said.encode(), timeout=PATIENCE) == said.encode()
        return who

    with serving(greeted(script)) as route:
        method = opened(route)
        long = method.begin(b"")
        reading = in_thread(lambda: [long.read() for _ in range(8)])
        asking = [in_thread(partial(ask, who)) for who in range(8)]
        assert [ended(*each) for each in asking] == list(range(8))
        heard = ended(*reading)
        assert isinstance(heard, list)
        assert sorted(heard) == [f"{who} 199 last".encode() for who in range(8)]
        channel_of(method).close()


def test_who_has_its_answer_lets_another_read(opened: Open) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        first, second = peer.request().number, peer.request().number
        peer.answer(first, b"first")
        assert go_on.wait(PATIENCE)
        peer.answer(second, b"second")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        first, second = method.begin(b""), method.begin(b"")
        waiting = [in_thread(each.result) for each in (first, second)]
        assert ended(*waiting[0]) == b"first"
        go_on.set()
        assert ended(*waiting[1]) == b"second"
        channel_of(method).close()


def test_an_answer_that_others_read_just_as_a_look_for_it_ends_is_not_lost(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Peer) -> None:
        first, second = peer.request().number, peer.request().number
        peer.answer(first, b"first")
        peer.answer(second, b"second")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        call = method.begin(b"")
        connection = channel_of(method)._pool._present
        assert connection is not None
        receive = connection.receive

        def interfered(*given: Any) -> bytes | None:
            got = receive(*given)
            monkeypatch.setattr(connection, "receive", receive)
            assert method(b"") == b"second"
            return got

        monkeypatch.setattr(connection, "receive", interfered)
        assert call.read(0.01) == b"first"
        with pytest.raises(StopIteration):
            call.read()
        channel_of(method).close()


def test_a_call_is_cancelled_by_another_thread(opened: Open) -> None:
    with serving(SILENT) as route:
        method = opened(route)
        calls = [method.begin(b"") for _ in range(3)]
        reading = [in_thread(each.read) for each in calls]
        for call, waiting in zip(calls, reading, strict=True):
            call.cancel()
            error = ended(*waiting)
            assert isinstance(error, RpcError)
            assert error.code is StatusCode.CANCELLED
            call.cancel()
        channel_of(method).close()


def test_a_reader_is_woken(opened: Open) -> None:
    with serving(SILENT) as route:
        method = opened(route)
        calls = [method.begin(b"") for _ in range(3)]
        reading = [in_thread(each.read) for each in calls]
        for call, waiting in zip(calls, reading, strict=True):
            call.wake()
            assert ended(*waiting) is None
        calls[0].wake()
        assert calls[0].read() is None  # it was woken before
        assert calls[0].read(0.01) is None
        channel_of(method).close()


def test_an_interrupt_leaves_the_others_their_answers(opened: Open) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            number = peer.request().number
        assert go_on.wait(PATIENCE)
        peer.answer(number, b"here")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        first, second = method.begin(b""), method.begin(b"")
        reads = threading.Event()

        def wait() -> None:
            reads.wait(PATIENCE)
            time.sleep(0.05)  # until it waits

        with interrupted(wait):
            reads.set()
            first.read()
        waiting = in_thread(second.result)
        go_on.set()
        assert ended(*waiting) == b"here"
        channel_of(method).close()


def test_a_call_whose_wait_is_interrupted_is_cancelled(opened: Open) -> None:
    asked = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        asked.set()
        peer.take_until(h2.RST_STREAM)
        peer.echo()

    with serving(greeted(script)) as route:
        method = opened(route)
        with interrupted(lambda: asked.wait(PATIENCE)):
            method(b"")
        assert method(b"next") == b"next"
        channel_of(method).close()
