"""Through `etcd grpc-proxy`: the past is whole, and a write goes to where somebody takes it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.local import LocalEtcd
from etcd_watcher.local.ports import free_ports
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_database import DatabaseCopy
from etcd_watcher.stores.v3_history import Segments
from etcd_watcher.stores.v3_past import is_proxy
from tests.stores.v3_past import ALL, TIMEOUT, mixed, told_by_a_watch, write

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def proxy(server: LocalEtcd, tmp_path: Path) -> Iterator[str]:
    """The URL of a proxy of the server."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            *(server.binary, "grpc-proxy", "start", f"--endpoints={server.url}"),
            *(f"--listen-addr=127.0.0.1:{port}", f"--data-dir={tmp_path}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(TIMEOUT)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("size", "way"), [(0, Segments), (2**29, DatabaseCopy)])
def test_the_past_is_whole(
    server: LocalEtcd,
    proxy: str,
    connect: Callable[..., V3Store],
    ways: dict[type, int],
    *,
    size: int,
    way: type,
) -> None:
    last = write(server, mixed(1300))
    truth = told_by_a_watch(connect(server), ALL, 1, last)
    store = V3Store([proxy], history_copy_bytes=size)
    store.connect(TIMEOUT)
    live = store.watch(ALL, last)
    assert live.read().opened
    told = [each for some in replay(store, ALL, 1, last) for each in some]
    live.close()
    store.close()
    assert told == truth
    assert [each for each in ways if ways[each]] == [way]


def test_it_is_known_for_one_and_has_one_watcher_at_a_time(
    server: LocalEtcd, proxy: str, connect: Callable[..., V3Store]
) -> None:
    store = connect(server)
    for url, watchers in ((server.url, store.history_watchers), (proxy, 1)):
        connection = Connection(url, Credentials())
        assert is_proxy(connection) == (url == proxy)
        segments = store._segments(connection, ALL, 1, 2)
        assert segments._most == watchers
        segments.close()
        connection.close()


def test_a_write_goes_elsewhere_where_nobody_is_behind_it(
    server: LocalEtcd, proxy: str, etcd: LocalEtcd, fresh_key: str
) -> None:
    """It takes a connection all the same; and of a write, nobody would know what became of it."""
    server.stop()
    with closing(V3Store([proxy, etcd.url], credentials=Credentials())) as store:
        assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
        found = store.get(fresh_key.encode(), TIMEOUT)
    assert found is not None
    assert found.version == 1
