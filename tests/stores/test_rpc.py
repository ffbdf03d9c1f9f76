"""Calls of gRPC on connections of our own, against a server that does what a script says."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import psutil
import pytest

from etcd_watcher.secret import Secret, SecretBytes
from etcd_watcher.stores import http2
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_link import Link, Route
from etcd_watcher.stores.http2_session import AT_FIRST, WINDOW
from etcd_watcher.stores.rpc import ChannelClosed, RpcError, StatusCode
from tests.stores.http2_server import (
    ECHO,
    GRPC,
    PATIENCE,
    SILENT,
    Open,
    Peer,
    Script,
    channel_of,
    ended,
    failure,
    goodbye,
    greeted,
    message,
    numbered,
    serving,
    told,
)  # fmt: skip
from tests.threads import in_thread, interrupted

pytestmark = pytest.mark.usefixtures("no_socket_left")


# Answers.


def test_a_call_has_an_answer(opened: Open) -> None:
    with serving(ECHO) as route:
        echo = opened(route)
        assert echo(b"") == b""
        assert echo(b"hello", timeout=PATIENCE) == b"hello"
        channel_of(echo).close()


def test_a_server_is_told_what_it_has_to_know(opened: Open) -> None:
    asked: list[dict[str, str]] = []

    def script(peer: Peer) -> None:
        asked.append(peer.request().headers)
        peer.answer(1, b"")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        method(b"", timeout=100, metadata=[("token", "t" * 40_000), ("user", "Luís")])
        channel_of(method).close()
    (headers,) = asked
    timeout = headers.pop("grpc-timeout")
    assert timeout.endswith("m")
    assert 90_000 < int(timeout[:-1]) <= 100_000
    assert headers == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/test/Echo",
        ":authority": f"127.0.0.1:{route.port}",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "etcd_watcher",
        "token": "t" * 40_000,
        "user": "Luís",
    }


@pytest.mark.parametrize(
    ("status", "said", "code", "details"),
    [
        ("5", "no such key", StatusCode.NOT_FOUND, "no such key"),
        ("16", "Lu%C3%ADs 100%25%0a%", StatusCode.UNAUTHENTICATED, "Luís 100%\n%"),
        ("14", "%ff%zz", StatusCode.UNAVAILABLE, "\ufffd%zz"),
        ("99", "what?", StatusCode.UNKNOWN, "what?"),
        ("9" * 5000, "how much?", StatusCode.UNKNOWN, "how much?"),
    ],
)
def test_a_refusal_is_told_as_the_server_says_it(
    opened: Open, status: str, said: str, code: StatusCode, details: str
) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.request().number, b"not all", status=status, told=said)
        refusal = [*GRPC, ("grpc-status", status), ("grpc-message", said)]
        peer.send(peer.headers(peer.request().number, refusal, end=True))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        for _ in range(2):
            error = failure(method, b"")
            assert (error.code, error.details, error.sent) == (code, details, True)
        channel_of(method).close()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404", StatusCode.UNIMPLEMENTED),
        ("503", StatusCode.UNAVAILABLE),
        ("200", StatusCode.UNKNOWN),
        ("\xb2", StatusCode.UNKNOWN),
        ("9" * 5000, StatusCode.UNKNOWN),
    ],
)
def test_a_page_instead_of_an_answer_is_told_by_its_status(
    opened: Open, status: str, code: StatusCode
) -> None:
    def script(peer: Peer) -> None:
        number = peer.request().number
        page = peer.headers(number, [(":status", status), ("content-type", "text/html")])
        peer.send(page, h2.frame(h2.DATA, h2.END_STREAM, number, b"<html>no</html>"))
        peer.send(peer.headers(peer.request().number, [(":status", status)], end=True))
        peer.echo()

    with serving(greeted(script)) as route:
        method = opened(route)
        for _ in range(2):
            error = failure(method, b"")
            assert (error.code, error.sent) == (code, True)
            assert "(HTTP " in error.details
            assert len(error.details) < 60
        assert method(b"well") == b"well"  # on the same connection
        channel_of(method).close()


def test_an_answer_without_a_message_or_status_is_no_answer(opened: Open) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.request().number)
        number = peer.request().number
        peer.send(peer.headers(number, GRPC), h2.frame(h2.DATA, h2.END_STREAM, number))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert failure(method, b"").code is StatusCode.INTERNAL
        assert failure(method, b"").code is StatusCode.UNKNOWN
        channel_of(method).close()


@pytest.mark.parametrize(
    ("code", "meaning", "sent"),
    [
        (h2.REFUSED_STREAM, StatusCode.UNAVAILABLE, False),
        (h2.STREAM_CANCELLED, StatusCode.CANCELLED, True),
        (h2.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED, True),
        (2, StatusCode.INTERNAL, True),
    ],
)
def test_a_call_that_the_server_resets_fails(
    opened: Open, code: int, meaning: StatusCode, *, sent: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.send(numbered(h2.RST_STREAM, peer.request().number, code))
        peer.echo()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert told(failure(method, b"")) == (meaning, sent)
        assert method(b"next") == b"next"
        channel_of(method).close()


def test_an_answer_that_is_too_large_fails_alone(opened: Open) -> None:
    with serving(ECHO) as route:
        echo = opened(route, bound=100_000)
        error = failure(echo, bytes(100_001))
        assert (error.code, error.sent) == (StatusCode.RESOURCE_EXHAUSTED, True)
        assert "100,001" in error.details
        assert echo(bytes(100_000)) == bytes(100_000)
        channel_of(echo).close()


def test_answers_of_a_call_come_one_by_one(opened: Open) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        number = peer.take_until(h2.HEADERS)[2]
        peer.send(peer.headers(number, GRPC))
        for _ in range(3):
            peer.take_until(h2.DATA)
            content = bytes(peer.asked[number].content)
            peer.asked[number].content.clear()
            peer.send(h2.frame(h2.DATA, 0, number, content))
        assert go_on.wait(PATIENCE)
        peer.send(h2.frame(h2.DATA, 0, number, message(b"last")))
        peer.send(peer.headers(number, [("grpc-status", "0")], end=True))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        call = method.begin()
        for each in (b"a", b"b" * 10_000, b""):
            call.send(each)
            assert call.read(PATIENCE) == each
        assert call.read(0.01) is None
        assert not call.done()
        go_on.set()
        assert list(call) == [b"last"]
        assert call.done()
        with pytest.raises(StopIteration):
            call.read()
        channel_of(method).close()


# Connecting.


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


def nothing(peer: Peer) -> None:
    with suppress(OSError):
        while peer.wire.recv(1 << 16):
            pass


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


@pytest.mark.parametrize("script", [http1, alert, hangs_up])
def test_who_speaks_something_else_is_asked_nothing(opened: Open, script: Script) -> None:
    with serving(script) as route:
        error = failure(opened(route), b"", timeout=PATIENCE)
    assert told(error) == (StatusCode.UNAVAILABLE, False)


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


# Time.


def test_a_call_whose_time_is_up_is_cancelled_at_the_server(opened: Open) -> None:
    peers: list[Peer] = []

    def script(peer: Peer) -> None:
        peers.append(peer)
        peer.request()
        peer.take_until(h2.RST_STREAM)
        peer.send(h2.frame(h2.DATA, 0, 1, message(b"too late")))
        peer.echo()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert told(failure(method, b"", timeout=0.1)) == (StatusCode.DEADLINE_EXCEEDED, True)
        assert method(b"next", timeout=PATIENCE) == b"next"
        channel_of(method).close()
    assert peers[0].reset == {1}


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for signs of life after a moment."""
    monkeypatch.setattr(http2, "QUIET", 0.1)
    monkeypatch.setattr(http2, "SELDOM", 0.1)
    monkeypatch.setattr(http2, "SIGN_OF_LIFE", 0.3)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("seldom", [0.1, 10 * PATIENCE])
def test_a_server_that_gives_no_sign_of_life_is_lost(
    opened: Open, seldom: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "SELDOM", seldom)  # the first is asked for as soon as it is quiet
    with serving(SILENT) as route:
        method = opened(route)
        error = failure(method, b"")
        assert told(error) == (StatusCode.UNAVAILABLE, True)
        assert "sign of life" in error.details


@pytest.mark.usefixtures("hurried")
def test_a_server_that_only_says_that_it_lives_is_waited_for(opened: Open) -> None:
    def script(peer: Peer) -> None:
        number = peer.request().number
        for _ in range(5):
            content = peer.take_until(h2.PING)[3]
            peer.send(h2.frame(h2.PING, h2.ACK, 0, content))
        peer.answer(number, b"at last")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert method(b"") == b"at last"
        channel_of(method).close()


@pytest.mark.usefixtures("hurried")
def test_a_server_that_says_anything_lives(opened: Open) -> None:
    def script(peer: Peer) -> None:
        number = peer.request().number
        for _ in range(5):
            peer.take_until(h2.PING)
            peer.send(h2.frame(h2.SETTINGS))
        peer.answer(number, b"at last")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert method(b"") == b"at last"
        channel_of(method).close()


# Connections that end.


def test_an_idle_connection_that_the_server_has_closed_is_not_used(opened: Open) -> None:
    def once(peer: Peer) -> None:
        peer.answer(peer.request().number, b"once")
        asked.append(1)

    asked: list[int] = []
    with serving(greeted(once), greeted(once), greeted(once)) as route:
        method = opened(route)
        for count in range(3):
            assert method(b"") == b"once"
            _until(lambda: closed_by_others() == 1)
            assert len(asked) == count + 1
        channel_of(method).close()


def closed_by_others() -> int:
    """Give how many of our connections the other side has closed."""
    return sum(
        each.status == psutil.CONN_CLOSE_WAIT for each in psutil.Process().net_connections("tcp")
    )


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


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
        _until(lambda: bool(left))  # we have closed it
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
        _until(lambda: bool(left))
        assert failure(call.read).code is StatusCode.CANCELLED
        channel_of(method).close()


def test_requests_behind_a_farewell_were_not_carried_out(opened: Open) -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        peer.send(goodbye(1))
        peer.answer(1, b"first")
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        first, second = method.begin(b""), method.begin(b"")
        assert told(failure(second.result)) == (StatusCode.UNAVAILABLE, False)
        assert first.result() == b"first"
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


# Sending much.


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


# Many threads.


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
        connection = channel_of(method)._connection
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


# The end.


def test_a_closed_channel_takes_no_calls(opened: Open) -> None:
    with serving(ECHO) as route:
        method = opened(route)
        assert method(b"a") == b"a"
        channel_of(method).close()
        channel_of(method).close()
        with pytest.raises(ChannelClosed):
            method(b"b")
    never = opened(route)
    channel_of(never).close()
    with pytest.raises(ChannelClosed):
        never(b"")


def test_closing_ends_all_who_wait(opened: Open) -> None:
    with serving(SILENT) as route:
        method = opened(route)
        calls = [method.begin(b"") for _ in range(5)]
        reading = [in_thread(each.read) for each in calls]
        channel_of(method).close()
        for each in reading:
            error = ended(*each)
            assert isinstance(error, RpcError)
            assert told(error) == (StatusCode.CANCELLED, True)


@pytest.mark.parametrize("way", ["plain", "tls", "proxy"])
def test_closing_ends_those_who_connect(opened: Open, way: str) -> None:
    reached = threading.Event()

    def silent(peer: Peer) -> None:
        peer.wire.recv(1)
        reached.set()
        nothing(peer)

    with serving(silent) as route:
        ways = {
            "plain": route,
            "tls": route._replace(context=ssl.create_default_context()),
            "proxy": Route("etcd.invalid", 1, None, f"http://127.0.0.1:{route.port}"),
        }
        method = opened(ways[way], connecting=600)
        asking = [in_thread(partial(method, b"")) for _ in range(3)]
        assert reached.wait(PATIENCE)
        channel_of(method).close()
        for each in asking:
            assert isinstance(ended(*each), ChannelClosed)


@pytest.mark.parametrize("window", [AT_FIRST, 2**31 - 1])
def test_closing_ends_those_who_send(opened: Open, window: int) -> None:
    reached, over = threading.Event(), threading.Event()

    def deaf(peer: Peer) -> None:
        peer.send(numbered(h2.WINDOW_UPDATE, 0, 2**30))
        peer.take_until(h2.DATA)
        reached.set()
        assert over.wait(PATIENCE)

    with serving(greeted(deaf, (h2.INITIAL_WINDOW, window))) as route:
        method = opened(route)
        asking = [in_thread(partial(method, bytes(20 * 1024 * 1024))) for _ in range(3)]
        assert reached.wait(PATIENCE)
        channel_of(method).close()
        for each in asking:
            error = ended(*each)
            # One of them may not have begun.
            assert isinstance(error, RpcError | ChannelClosed)
            if isinstance(error, RpcError):
                assert told(error) == (StatusCode.CANCELLED, True)
        over.set()


# Proxies.


def proxy(seen: list[bytes], answer: bytes, then: Script = Peer.drain) -> Script:
    """Answer CONNECT so, and then be the server, too."""

    def script(peer: Peer) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            more = peer.wire.recv(1 << 16)
            if not more:
                return
            asked += more
        seen.append(asked)
        peer.wire.sendall(answer)
        if answer.startswith(b"HTTP/1.1 200"):
            then(peer)

    return script


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("who", ["", "luis@", "luis:pa%3Ass%40@"])
def test_a_proxy_makes_the_way(opened: Open, who: str) -> None:
    seen: list[bytes] = []
    with serving(proxy(seen, ESTABLISHED, ECHO)) as route:
        through = Route("etcd.invalid", 2379, None, f"http://{who}127.0.0.1:{route.port}")
        method = opened(through)
        assert method(b"hello") == b"hello"
        channel_of(method).close()
    (asked,) = seen
    lines = asked.decode().split("\r\n")
    assert lines[:2] == ["CONNECT etcd.invalid:2379 HTTP/1.1", "Host: etcd.invalid:2379"]
    told_it = [base64.b64decode(each.split()[-1]).decode() for each in lines if "Basic" in each]
    assert told_it == {"": [], "luis@": ["luis:"], "luis:pa%3Ass%40@": ["luis:pa:ss@"]}[who]


def test_a_server_may_begin_before_we_know_that_the_proxy_has_made_the_way(opened: Open) -> None:
    first = h2.frame(h2.SETTINGS)

    def script(peer: Peer) -> None:
        peer.take_preface()
        peer.echo()

    with serving(proxy([], ESTABLISHED + first, script)) as route:
        method = opened(Route("etcd.invalid", 2379, None, f"http://127.0.0.1:{route.port}"))
        assert method(b"hello") == b"hello"
        channel_of(method).close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"HTTP/1.1 502 Bad Gateway\r\nX: y\r\n\r\n<html>", "502"),
        (b"", "closed"),
        (b"HTTP/1.1 2", "closed"),
        (b"what?\r\n\r\n", "what?"),
        (b"x" * 100_000, "no answer from the proxy"),
    ],
)
def test_a_proxy_that_makes_no_way_is_told_of(opened: Open, answer: bytes, reason: str) -> None:
    with serving(proxy([], answer)) as route:
        method = opened(
            Route("etcd.invalid", 2379, None, Secret(f"http://luis:secret@127.0.0.1:{route.port}"))
        )
        error = failure(method, b"")
    assert told(error) == (StatusCode.UNAVAILABLE, False)
    assert reason in error.details
    assert "secret" not in in_full(error)


# Secrets.


def in_full(error: BaseException) -> str:
    """Give all that a traceback with variables shows of our code, of its causes, too."""
    seen = [repr(error), str(error)]
    trace = error.__traceback__
    while trace is not None:
        if "etcd_watcher/stores" in trace.tb_frame.f_code.co_filename:
            seen.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    causes = [each for each in (error.__cause__, error.__context__) if each is not None]
    return "\n".join([*seen, *map(in_full, causes)])


@pytest.mark.parametrize("where", ["connect", "send", "wait"])
def test_what_is_secret_is_in_no_traceback(
    opened: Open, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    metadata = [("token", Secret("hidden-token"))]
    with serving(proxy([], ESTABLISHED, SILENT)) as route:
        through = Secret(f"http://luis:hidden-word@127.0.0.1:{route.port}")
        method = opened(Route("etcd.invalid", 2379, None, through))
        if where == "connect":
            monkeypatch.setattr(Link, "send", interrupt)
        else:
            channel = channel_of(method)
            channel.method("/", bytes).begin(b"").cancel()
            link = channel._connection._link  # type: ignore[union-attr]
            monkeypatch.setattr(link, where, interrupt)
        with pytest.raises(KeyboardInterrupt) as raised:
            method(SecretBytes(b"hidden"), metadata=metadata, timeout=PATIENCE)
        shown = in_full(raised.value)
        assert "Connection object" in shown or where == "connect"
        assert "hidden" not in shown
        channel_of(method).close()
