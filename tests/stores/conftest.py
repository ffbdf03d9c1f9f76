"""Servers, stores and channels of etcd v3 that several tests of stores use."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.rpc import Channel, Method
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_database import DatabaseCopy
from etcd_watcher.stores.v3_history import Segments
from etcd_watcher.stores.v3_lineage import Reading
from etcd_watcher.stores.v3_segments import Piece
from tests.stores.http2_server import BOUND, CONNECTING, Open
from tests.stores.v3_past import TIMEOUT


@pytest.fixture
def server(any_version: str) -> Iterator[LocalEtcd]:
    """A server of the test's own."""
    with LocalEtcd(version=any_version) as made:
        yield made


@pytest.fixture
def connect() -> Iterator[Callable[..., V3Store]]:
    """Open stores, and close them in the end."""
    stores: list[V3Store] = []

    def opened(server: LocalEtcd, **options: Any) -> V3Store:
        stores.append(V3Store([server.url], **options))
        stores[-1].connect(TIMEOUT)
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(server: LocalEtcd, connect: Callable[..., V3Store]) -> V3Store:
    """A store of that server."""
    return connect(server)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[type, int]:
    """How many pieces came by each way."""
    counts: dict[type, int] = {DatabaseCopy: 0, Segments: 0}
    for way in (DatabaseCopy, Segments):

        def counted(
            self: Reading,
            pieces: Callable[[Any], Iterator[tuple[Piece, int]]] = way.pieces,
            way: type = way,
        ) -> Iterator[tuple[Piece, int]]:
            for taken in pieces(self):
                counts[way] += 1
                yield taken

        monkeypatch.setattr(way, "pieces", counted)
    return counts


def sockets() -> int:
    """Give how many sockets this process has."""
    if Path("/proc/self/fd").is_dir():
        found = 0
        for each in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # the folder's own
                found += str(each.readlink()).startswith("socket:")
        return found
    return len(psutil.Process().net_connections("all"))


@pytest.fixture
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
