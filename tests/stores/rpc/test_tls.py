"""Calls of gRPC within TLS: against etcd, and against a server that does what a script says."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.local import Certificates, LocalEtcd
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores import wire
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.rpc import Method, RpcError, StatusCode
from etcd_watcher.stores.tls import tls_context
from tests.stores.http2_server import (
    ECHO,
    GRPC,
    PATIENCE,
    Contexts,
    Open,
    Peer,
    channel_of,
    ended,
    failure,
    greeted,
    message,
    serving,
    told,
)  # fmt: skip
from tests.threads import in_thread

LARGE = 1_400_000
"""Bytes of a value; etcd takes requests of 1.5 MiB."""

UNSENT = (StatusCode.UNAVAILABLE, False)


def way_to(server: LocalEtcd, credentials: Credentials, host: str | None = None) -> Route:
    url = urlsplit(server.url)
    context = tls_context(credentials)
    context.set_alpn_protocols(["h2"])
    return Route(host or url.hostname or "", url.port or 0, context, None)


def method_of(opened: Open, route: Route, name: str, answer: type) -> Method:
    return channel_of(opened(route)).method(f"/etcdserverpb.{name}", answer.FromString)  # type: ignore[attr-defined]


def test_many_write_read_and_watch_large_values_on_one_connection(
    secure: LocalEtcd, opened: Open, fresh_key: str
) -> None:
    route = way_to(secure, Credentials(ca_cert=secure.ca_cert))
    put = method_of(opened, route, "KV/Put", wire.PutResponse)
    channel = channel_of(put)
    get = channel.method("/etcdserverpb.KV/Range", wire.RangeResponse.FromString)
    watch = channel.method("/etcdserverpb.Watch/Watch", wire.WatchResponse.FromString)
    prefix = fresh_key.encode()
    create = wire.WatchCreateRequest(key=prefix, range_end=prefix + b"\xff")
    watching = watch.begin()
    watching.send(wire.WatchRequest(create_request=create))
    assert watching.read(PATIENCE).created

    def write_and_read(who: int) -> None:
        for count in range(5):
            value, key = bytes([who, count]) * (LARGE // 2), prefix + b"%d" % who
            put(wire.PutRequest(key=key, value=value), timeout=PATIENCE)
            answer = get(wire.RangeRequest(key=key), timeout=PATIENCE)
            assert answer.kvs[0].value == value

    def watch_all() -> list[tuple[bytes, int, int, int]]:
        seen: list[tuple[bytes, int, int, int]] = []
        while len(seen) < 20:
            for event in watching.read(PATIENCE).events:
                value = event.kv.value
                seen.append((event.kv.key, value[0], value[1], len(value)))
        return seen

    watcher = in_thread(watch_all)
    for each in [in_thread(partial(write_and_read, who)) for who in range(4)]:
        assert ended(*each) is None
    seen = ended(*watcher)
    assert isinstance(seen, list)
    for who in range(4):
        own = [each for each in seen if each[0] == prefix + b"%d" % who]
        assert own == [(prefix + b"%d" % who, who, count, LARGE) for count in range(5)]
    channel.close()
    assert failure(watching.read).code is StatusCode.CANCELLED


def status(opened: Open, route: Route) -> RpcError:
    ask = method_of(opened, route, "Maintenance/Status", wire.StatusResponse)
    error = failure(ask, wire.StatusRequest(), timeout=PATIENCE)
    channel_of(ask).close()
    return error


def test_who_is_not_to_be_trusted_is_asked_nothing(
    secure: LocalEtcd, exclusive: LocalEtcd, opened: Open
) -> None:
    error = status(opened, way_to(secure, Credentials(ca_cert=exclusive.ca_cert)))
    assert told(error) == UNSENT
    assert "give ca_cert=" in error.details


def test_a_certificate_of_another_host_is_told_of(opened: Open) -> None:
    with LocalEtcd(version="3.5", tls=Certificates(["other.example"])) as etcd:
        error = status(opened, way_to(etcd, Credentials(ca_cert=etcd.ca_cert)))
    assert told(error) == UNSENT
    assert "not valid for '127.0.0.1'" in error.details


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_certificate_says_so(
    exclusive: LocalEtcd, opened: Open, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3 after the handshake, at the first read."""
    route = way_to(exclusive, Credentials(ca_cert=exclusive.ca_cert))
    assert route.context is not None
    route.context.maximum_version = version
    error = status(opened, route)
    assert told(error) == UNSENT
    assert "give cert= and key=" in error.details
    own = Credentials(ca_cert=exclusive.ca_cert, cert=exclusive.cert, key=exclusive.key)
    ask = method_of(opened, way_to(exclusive, own), "Maintenance/Status", wire.StatusResponse)
    assert ask(wire.StatusRequest(), timeout=PATIENCE).version
    channel_of(ask).close()


# A server of our own.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_much_goes_both_ways(opened: Open, contexts: Contexts, version: ssl.TLSVersion) -> None:
    server, client = contexts
    client.maximum_version = version
    with serving(ECHO, tls=server) as route:
        method = opened(route._replace(context=client))
        for size in (0, 16_384, 5_000_000):
            assert method(bytes(size), timeout=PATIENCE) == bytes(size)
        asking = [in_thread(partial(method, bytes([each]) * 300_000)) for each in range(6)]
        assert [ended(*each) for each in asking] == [bytes([each]) * 300_000 for each in range(6)]
        channel_of(method).close()


def test_a_server_that_agrees_on_nothing_may_speak_http2_all_the_same(
    opened: Open, contexts: Contexts
) -> None:
    server, client = contexts
    client.set_alpn_protocols(["something"])
    with serving(ECHO, tls=server) as route:
        method = opened(route._replace(context=client))
        assert method(b"hello") == b"hello"
        channel_of(method).close()


@pytest.mark.parametrize("farewell", [True, False])
def test_a_server_that_ends_in_the_middle_is_lost(
    opened: Open, contexts: Contexts, *, farewell: bool
) -> None:
    server, client = contexts

    def script(peer: Peer) -> None:
        number = peer.request().number
        peer.send(peer.headers(number, GRPC))
        peer.send(h2.frame(h2.DATA, 0, number, message(b"whole") + message(b"half")[:7]))
        if farewell:
            with suppress(OSError):
                peer.wire.unwrap()

    with serving(greeted(script), ECHO, tls=server) as route:
        method = opened(route._replace(context=client))
        call = method.begin(b"")
        assert call.read(PATIENCE) == b"whole"
        assert told(failure(call.read)) == (StatusCode.UNAVAILABLE, True)
        assert method(b"new") == b"new"
        channel_of(method).close()


def test_a_byte_that_was_changed_on_the_way_ends_the_connection(
    opened: Open, contexts: Contexts
) -> None:
    server, client = contexts

    def script(peer: Peer) -> None:
        peer.request()
        raw = peer.wire.detach()
        with socket.socket(fileno=raw) as wire:
            wire.sendall(struct.pack(">BHH", 23, 0x303, 40) + bytes(40))
            with suppress(OSError):
                while wire.recv(1 << 16):
                    pass

    with serving(greeted(script), tls=server) as route:
        method = opened(route._replace(context=client))
        assert told(failure(method, b"", timeout=PATIENCE)) == (StatusCode.UNAVAILABLE, True)
        channel_of(method).close()
