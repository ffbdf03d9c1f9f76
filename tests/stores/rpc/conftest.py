"""Calls of gRPC on connections of our own: to a server that does what a script says, and to etcd."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.local import Certificates
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.rpc import Channel, Method
from etcd_watcher.stores.tls import tls_context
from tests.stores.http2_server import BOUND, CONNECTING, Contexts, Open


def sockets() -> int:
    """Give how many sockets this process has."""
    if Path("/proc/self/fd").is_dir():
        found = 0
        for each in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the folder's own
                found += str(each.readlink()).startswith("socket:")
        return found
    return len(psutil.Process().net_connections("all"))


@pytest.fixture(autouse=True)
def no_socket_left() -> Iterator[None]:
    """Fail a test that leaves a socket; nothing is to wait for the garbage collector."""
    gc.disable()
    before = sockets()
    yield
    left = sockets() - before
    gc.enable()
    assert left == 0


@pytest.fixture
def opened(no_socket_left: None) -> Iterator[Open]:
    """Open channels, and close them in the end."""
    channels: list[Channel] = []

    def channel(route: Route, *, connecting: float = CONNECTING, bound: int = BOUND) -> Method:
        channels.append(Channel(route, connecting=connecting, bound=bound))
        return channels[-1].method("/test/Echo", bytes)

    yield channel
    for each in channels:
        each.close()


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    """For a server within TLS, and for its clients."""
    Certificates().write(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server.set_alpn_protocols(["h2"])
    client = tls_context(Credentials(ca_cert=str(tmp_path / "ca.pem")))
    client.set_alpn_protocols(["h2"])
    return server, client
