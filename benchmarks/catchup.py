"""Reading a long past.

The server feeds who is behind in rounds, 0.1 s apart. Ways that begin one right behind the other begin
at the same moment of a round each time, and some have luck with it: etcdctl took 0.49 or 0.64 s for the
same. So each begins at a moment drawn by lot.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator

from benchmarks.measure import Measurement, Size
from benchmarks.peers import available, follow
from benchmarks.writing import fill
from etcd_watcher import LocalEtcd

__all__ = ["catch_up", "catch_up_long", "catch_up_transactions"]

TIMEOUT = 300.0
"""Seconds after which a way is given up. 500,000 puts take one watcher about 180."""

ROUND = 0.1
"""Seconds from one of the server's rounds to the next."""

PYTHONS = ["aetcd", "etcd-sdk-python", "python-etcd3", "etcd3aio", "etcd3gw"]


def catch_up(size: Size) -> Iterator[Measurement]:
    """Catch-up: single puts to 100 keys, from the first revision to a callback, by one watch."""
    yield from _read(size, [10_000, 100_000], 1, ["etcd_watcher", "stub", "etcdctl", *PYTHONS])


def catch_up_long(size: Size) -> Iterator[Measurement]:
    """Catch-up: 500,000 single puts."""
    yield from _read(size, [500_000], 1, ["etcd_watcher", "etcdctl"])


def catch_up_transactions(size: Size) -> Iterator[Measurement]:
    """Catch-up: 100 puts a transaction."""
    ways = ["etcd_watcher", "stub", "etcdctl", *PYTHONS]
    yield from _read(size, [20_000, 200_000], 100, ways)


def _read(size: Size, counts: list[int], at_once: int, ways: list[str]) -> Iterator[Measurement]:
    ways = available(ways)
    for each in counts:
        count = size.of(each, at_once)
        with LocalEtcd(version="3.5") as server:
            fill(server.url, "k/", count, at_once=at_once)
            work = f"{count:,} events" + (f", {at_once} a transaction" if at_once > 1 else "")
            # The server's first reading of what was just written takes longer for whoever it is.
            follow("stub", server.url, "k/", min(count, 1000), TIMEOUT)
            for _ in range(size.rounds):
                for way in ways:
                    yield _once(server, work, way, count)


def _once(server: LocalEtcd, work: str, way: str, count: int) -> Measurement:
    time.sleep(random.uniform(0, ROUND))  # noqa: S311 - nobody has to be kept from guessing it
    try:
        found = follow(way, server.url, "k/", count, TIMEOUT)
    except subprocess.TimeoutExpired:
        return Measurement(work, way, 0, "events/s", f"not done after {TIMEOUT:.0f} s")
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Measurement(work, way, 0, "events/s", f"failed: {' '.join(reason)[-100:]}")
    note = ""
    if way not in ("stub", "etcdctl"):
        complete = found["told"] == count and found["in_order"]
        note = "each once, in order" if complete else "NOT each once and in order"
    return Measurement(work, way, count / found["seconds"], "events/s", note)
