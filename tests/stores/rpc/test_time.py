"""Calls whose time is up, and servers that give no sign of life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores import http2_pulse
from etcd_watcher.stores.rpc import StatusCode
from tests.stores.http2_server import (
    PATIENCE,
    SILENT,
    Open,
    Peer,
    Script,
    channel_of,
    failure,
    greeted,
    message,
    serving,
    told,
)  # fmt: skip


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
    monkeypatch.setattr(http2_pulse, "QUIET", 0.1)
    monkeypatch.setattr(http2_pulse, "SELDOM", 0.1)
    monkeypatch.setattr(http2_pulse, "SIGN_OF_LIFE", 0.3)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("seldom", [0.1, 10 * PATIENCE])
def test_a_server_that_gives_no_sign_of_life_is_lost(
    opened: Open, seldom: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first is asked for as soon as it is quiet.
    monkeypatch.setattr(http2_pulse, "SELDOM", seldom)
    with serving(SILENT) as route:
        method = opened(route)
        error = failure(method, b"")
        assert told(error) == (StatusCode.UNAVAILABLE, True)
        assert "sign of life" in error.details


def lives_for_a_while(sign: Callable[[bytes], bytes]) -> Script:
    """Give a sign of life each time that one is asked for, by a PING of some content; then answer."""

    def script(peer: Peer) -> None:
        number = peer.request().number
        for _ in range(5):
            peer.send(sign(peer.take_until(h2.PING)[3]))
        peer.answer(number, b"at last")
        peer.drain()

    return greeted(script)


@pytest.mark.usefixtures("hurried")
def test_a_server_that_only_says_that_it_lives_is_waited_for(opened: Open) -> None:
    with serving(lives_for_a_while(lambda content: h2.frame(h2.PING, h2.ACK, 0, content))) as route:
        method = opened(route)
        assert method(b"") == b"at last"
        channel_of(method).close()


@pytest.mark.usefixtures("hurried")
def test_a_server_that_says_anything_lives(opened: Open) -> None:
    with serving(lives_for_a_while(lambda _: h2.frame(h2.SETTINGS))) as route:
        method = opened(route)
        assert method(b"") == b"at last"
        channel_of(method).close()
