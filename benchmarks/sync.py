"""How long `sync` takes, and what it asks of the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from benchmarks.live import percentile, write_steadily
from benchmarks.measure import Measurement, Size
from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_outbox import Outbox

__all__ = ["sync"]

CALLS = 300


def sync(size: Size) -> Iterator[Measurement]:
    """`sync()`: requests and time, with nothing going on, and with 1,000 puts a second."""
    for version in ("3.4", "3.5"):
        with LocalEtcd(version=version) as server:
            for _ in range(size.rounds):
                for busy in ("idle", "1,000 puts/s to our keys", "1,000 puts/s to other keys"):
                    yield from _call(server, f"etcd {version}, {busy}", busy, size.of(CALLS, 20))


def _call(server: LocalEtcd, work: str, busy: str, calls: int) -> Iterator[Measurement]:
    requests = 0
    call, put = Connection.call, Outbox.put

    def counted_call(*args: Any) -> Any:
        nonlocal requests
        requests += 1
        return call(*args)

    def counted_put(*args: Any) -> None:
        nonlocal requests
        requests += 1
        put(*args)

    seconds: list[float] = []
    prefix = "ours/" if "our" in busy else "theirs/"
    writer = threading.Thread(target=write_steadily, args=(server.url, prefix, 1000, 5 * calls))
    with Watcher(server.url, api="v3") as watcher:
        watcher.on("ours/", prefix=True)(lambda _: None)
        if busy != "idle":
            writer.start()
        watcher.put("ours/0", "warm")
        watcher.sync()
        with (
            patch.object(Connection, "call", counted_call),
            patch.object(Outbox, "put", counted_put),
        ):
            for _ in range(calls):
                began = time.perf_counter()
                watcher.sync()
                seconds.append(time.perf_counter() - began)
        if busy != "idle":
            writer.join()
    for part in (50, 99):
        yield Measurement(work, "etcd_watcher", percentile(seconds, part) * 1e3, f"ms p{part}")
    yield Measurement(work, "etcd_watcher", requests / calls, "requests a call")
