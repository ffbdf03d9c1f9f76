"""What closing a channel ends."""

from __future__ import annotations

import ssl
import threading
from functools import partial

import pytest

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.http2_session import AT_FIRST
from etcd_watcher.stores.rpc import ChannelClosed, RpcError, StatusCode
from tests.stores.http2_server import (
    ECHO,
    PATIENCE,
    SILENT,
    Contexts,
    Open,
    Peer,
    channel_of,
    ended,
    greeted,
    numbered,
    serving,
    told,
)  # fmt: skip
from tests.stores.rpc.scripts import nothing
from tests.threads import in_thread


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


@pytest.mark.parametrize("tls", [False, True])
def test_closing_ends_all_who_wait(opened: Open, contexts: Contexts, *, tls: bool) -> None:
    server, client = contexts if tls else (None, None)
    with serving(SILENT, tls=server) as route:
        method = opened(route._replace(context=client))
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
