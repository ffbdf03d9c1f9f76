"""What a call is told, and what its server is."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher.stores import http2_frames as h2
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
        # As a load balancer may write it that reads headers before it knows that nothing follows.
        number = peer.request().number
        peer.send(peer.headers(number, refusal), h2.frame(h2.DATA, h2.END_STREAM, number))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        for _ in range(3):
            error = failure(method, b"")
            assert (error.code, error.details, error.sent) == (code, details, True)
            assert not error.lost
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
            assert len(error.details.partition(": ")[0]) < 60
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
    ("code", "meaning"),
    [
        (h2.REFUSED_STREAM, StatusCode.UNAVAILABLE),
        (h2.STREAM_CANCELLED, StatusCode.CANCELLED),
        (h2.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED),
        (2, StatusCode.INTERNAL),
    ],
)
def test_a_call_that_the_server_resets_fails_and_may_have_been_carried_out(
    opened: Open, code: int, meaning: StatusCode
) -> None:
    """Of a call that was refused, too: HAProxy says so of what it has sent on."""

    def script(peer: Peer) -> None:
        peer.send(numbered(h2.RST_STREAM, peer.request().number, code))
        peer.echo()

    with serving(greeted(script)) as route:
        method = opened(route)
        error = failure(method, b"")
        assert (*told(error), error.lost, error.by_us) == (meaning, True, True, False)
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
