"""Many keys: how fast they are registered, and what an event costs then."""

from __future__ import annotations

import time

from benchmarks.measure import Measurement
from etcd_watcher import LocalEtcd, Watcher

__all__ = ["keys"]

KEYS = 10_000


def keys() -> list[Measurement]:
    """10,000 keys registered on each API; keys a second."""
    with LocalEtcd() as server:
        return [
            register(server, api, one_by_one=one_by_one)
            for api in ("v3", "v2")
            for one_by_one in (True, False)
        ]


def register(server: LocalEtcd, api: str, *, one_by_one: bool) -> Measurement:
    names = [f"key-{number:05}" for number in range(KEYS)]
    with Watcher(server.url, api=api) as watcher:
        began = time.perf_counter()
        if one_by_one:
            for name in names:
                watcher.register(name, names, print)
        else:
            watcher.register(names, names, print)
        seconds = time.perf_counter() - began
    way = f"{api}, {'one by one' if one_by_one else 'as one iterable'}"
    return Measurement(way, KEYS / seconds, "keys/s", f"{seconds:.2f} s")
