"""Calls through a proxy."""

from __future__ import annotations

import base64

import pytest

from etcd_watcher.secret import Secret
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.rpc import StatusCode
from tests.stores.http2_server import ECHO, Open, Peer, channel_of, failure, serving, told
from tests.stores.rpc.scripts import ESTABLISHED, proxy
from tests.tracebacks import shown


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
    assert "secret" not in shown(error)
