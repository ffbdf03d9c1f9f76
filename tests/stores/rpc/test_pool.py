"""Calls to a server that takes few requests on a connection, as a load balancer may."""

from __future__ import annotations

import struct
import threading
from contextlib import suppress
from functools import partial

import pytest

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.rpc import ChannelClosed, RpcError, StatusCode
from tests.stores.http2_server import (
    ECHO,
    GRPC,
    PATIENCE,
    Open,
    Peer,
    Script,
    channel_of,
    ended,
    failure,
    goodbye,
    greeted,
    message,
    serving,
    told,
)  # fmt: skip
from tests.threads import in_thread

ONE_AT_A_TIME = (h2.MAX_STREAMS, 1)

MANY = 400
"""Connections that are more than anybody needs here."""


def counted(script: Script) -> tuple[Script, list[int]]:
    """Note each connection for which a script runs."""
    come: list[int] = []

    def run(peer: Peer) -> None:
        come.append(1)
        script(peer)

    return run, come


def test_what_a_full_connection_does_not_take_goes_to_another_that_does(opened: Open) -> None:
    script, come = counted(greeted(Peer.echo, ONE_AT_A_TIME))
    with serving(*[script] * MANY) as route:
        method = opened(route)
        watches = [method.begin() for _ in range(3)]  # each for ever
        for number in range(20):
            assert method(b"%d" % number, timeout=PATIENCE) == b"%d" % number
        assert len(come) == 4
        for watch in watches:
            watch.cancel()
        more = [method.begin(b"x", timeout=PATIENCE) for _ in range(4)]
        assert [each.result() for each in more] == [b"x"] * 4
        assert len(come) == 4  # those that have room again are used
        channel_of(method).close()


def takes(requests: int, peer: Peer) -> None:
    """Echo so many requests, and leave; what comes behind them is passed over."""
    last = 0
    with suppress(OSError):
        for _ in range(requests):
            asked = peer.request()
            last = asked.number
            peer.answer(last, bytes(asked.content[5:]))
        peer.send(goodbye(last))
        peer.drain()


@pytest.mark.parametrize(
    "script",
    [
        greeted(partial(takes, 3)),
        greeted(partial(takes, 5), (h2.MAX_STREAMS, 2)),
        greeted(Peer.echo, ONE_AT_A_TIME),
    ],
)
def test_many_threads_are_served_where_a_connection_takes_few_requests(
    opened: Open, script: Script, eager_threads: None
) -> None:
    def ask(who: int) -> int:
        for count in range(20):
            said = b"%d %d" % (who, count)
            assert method(said, timeout=PATIENCE) == said
        return who

    with serving(*[script] * MANY) as route:
        method = opened(route)
        asking = [in_thread(partial(ask, who)) for who in range(12)]
        assert [ended(*each) for each in asking] == list(range(12))
        channel_of(method).close()


def passes_over(last: int, peer: Peer) -> None:
    """Take two requests, answer one, and leave."""
    first, _ = peer.request(), peer.request()
    peer.send(goodbye(last))
    peer.answer(first.number, b"first")
    peer.drain()


def test_what_a_server_that_leaves_has_passed_over_is_begun_again(opened: Open) -> None:
    with serving(greeted(partial(passes_over, 1)), ECHO) as route:
        method = opened(route)
        first, second = method.begin(b"1"), method.begin(b"2")
        assert second.result() == b"2"
        assert first.result() == b"first"
        channel_of(method).close()


def test_what_was_cancelled_meanwhile_is_not_begun_again(opened: Open) -> None:
    with serving(greeted(partial(passes_over, 1)), ECHO) as route:
        method = opened(route)
        first, second = method.begin(b"1"), method.begin(b"2")
        assert first.result() == b"first"
        second.cancel()
        assert failure(second.result).by_us
        channel_of(method).close()


def test_it_was_not_carried_out_where_there_is_nobody_to_ask_again(opened: Open) -> None:
    with serving(greeted(partial(passes_over, 1))) as route:
        method = opened(route, connecting=0.2)
        first, second = method.begin(b"1"), method.begin(b"2")
        assert told(failure(second.result)) == (StatusCode.UNAVAILABLE, False)
        assert first.result() == b"first"
        channel_of(method).close()


def test_a_server_that_takes_nothing_is_not_asked_again(opened: Open) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(goodbye(0))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        assert told(failure(method, b"")) == (StatusCode.UNAVAILABLE, False)
        channel_of(method).close()


def test_a_retired_channel_gives_the_answers_that_are_due_and_is_gone(opened: Open) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        assert go_on.wait(PATIENCE)
        for number in (1, 3):
            peer.answer(number, b"here")
        peer.drain()
        gone.append(1)

    gone: list[int] = []
    with serving(greeted(script)) as route:
        method = opened(route)
        channel = channel_of(method)
        calls = [method.begin(b"") for _ in range(2)]
        channel.retire()
        with pytest.raises(ChannelClosed):
            method(b"")
        assert not channel.is_over
        go_on.set()
        assert [each.result() for each in calls] == [b"here"] * 2
        assert channel.is_over
    assert gone  # though nobody has closed it


def test_a_retired_channel_without_calls_is_gone_at_once(opened: Open) -> None:
    with serving(ECHO) as route:
        method = opened(route)
        assert method(b"a") == b"a"
        channel_of(method).retire()
        assert channel_of(method).is_over


def test_retiring_ends_those_who_connect(opened: Open) -> None:
    reached = threading.Event()

    def silent(peer: Peer) -> None:
        peer.wire.recv(1)
        reached.set()
        with suppress(OSError):
            while peer.wire.recv(1 << 16):
                pass

    with serving(silent) as route:
        method = opened(route, connecting=600)
        asking = in_thread(partial(method, b""))
        assert reached.wait(PATIENCE)
        channel_of(method).retire()
        assert isinstance(ended(*asking), ChannelClosed)


def test_an_answer_that_stops_without_a_status_was_lost_on_the_way(opened: Open) -> None:
    def script(peer: Peer) -> None:
        number = peer.request().number
        half = h2.frame(h2.DATA, h2.END_STREAM, number, message(b"whole"))
        peer.send(peer.headers(number, GRPC), half)
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        call = method.begin(b"")
        assert call.read(PATIENCE) == b"whole"
        error = failure(call.read)
        assert (error.lost, error.page, error.sent) == (True, False, True)
        channel_of(method).close()


@pytest.mark.parametrize(
    ("status", "lost", "advice"),
    [
        ("401", False, "login of its own"),
        ("403", False, "does not let us through"),
        ("408", True, ""),
        ("413", False, "client_max_body_size"),
        ("429", True, ""),
        ("500", True, ""),
        ("503", True, "no etcd behind it"),
    ],
)
def test_a_page_says_who_answered_and_what_to_do(
    opened: Open, status: str, advice: str, *, lost: bool
) -> None:
    def script(peer: Peer) -> None:
        for name in ("nginx/1.22.1", "\x1b[2J", "x" * 1000):
            headers = [(":status", status), ("content-type", "text/html"), ("server", name)]
            peer.send(peer.headers(peer.request().number, headers))
        peer.drain()

    with serving(greeted(script)) as route:
        method = opened(route)
        named, strange, long = (failure(method, b"") for _ in range(3))
        assert f"(HTTP {status} by nginx/1.22.1)" in named.details
        assert advice in named.details
        assert (named.lost, named.page, named.sent) == (lost, True, True)
        assert f"(HTTP {status})" in strange.details
        assert len(long.details.partition(": ")[0]) < 100
        channel_of(method).close()


def test_the_settings_of_a_server_may_give_a_connection_room_again(opened: Open) -> None:
    def generous(peer: Peer) -> None:
        number = peer.request().number
        peer.send(h2.frame(h2.SETTINGS, content=struct.pack(">HL", h2.MAX_STREAMS, 10)))
        peer.answer(number, b"more")
        peer.echo()

    script, come = counted(greeted(generous, ONE_AT_A_TIME))
    with serving(*[script] * MANY) as route:
        method = opened(route)
        assert method(b"", timeout=PATIENCE) == b"more"
        calls = [method.begin(b"x", timeout=PATIENCE) for _ in range(10)]
        assert [each.result() for each in calls] == [b"x"] * 10
        assert len(come) == 1
        channel_of(method).close()


def test_closing_ends_what_waits_on_all_connections(opened: Open) -> None:
    with serving(*[greeted(Peer.drain, ONE_AT_A_TIME)] * 3) as route:
        method = opened(route)
        calls = [method.begin(b"") for _ in range(3)]
        reading = [in_thread(each.read) for each in calls]
        channel_of(method).close()
        for each in reading:
            error = ended(*each)
            assert isinstance(error, RpcError)
            assert error.by_us
