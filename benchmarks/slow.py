"""A slow subscriber among fast ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.live import percentile, write_steadily
from benchmarks.measure import Measurement, Size
from etcd_watcher import Event, LocalEtcd, Watcher

__all__ = ["slow"]

RATE = 1_000
SECONDS = 4
FAST = 10


def slow(size: Size) -> Iterator[Measurement]:
    """Slow: a subscriber that takes 5 ms for each of 1,000 events/s, among ten that take none."""
    with LocalEtcd(version="3.5") as server:
        for _ in range(size.rounds):
            yield from _follow(server, size.of(RATE * SECONDS, 50), with_slow=False)
            yield from _follow(server, size.of(RATE * SECONDS, 50), with_slow=True)


def _follow(server: LocalEtcd, count: int, *, with_slow: bool) -> Iterator[Measurement]:
    work = "10 fast subscribers and a slow one" if with_slow else "10 fast subscribers"
    latencies: list[float] = []
    by_the_slow: list[int] = []
    rest = threading.Event()

    def fast(event: Event) -> None:
        latencies.append((time.monotonic_ns() - int(event.raw_value or b"0")) / 1e6)

    def dawdle(event: Event) -> None:
        rest.wait(0.005)
        by_the_slow.append(event.revision)

    with Watcher(server.url, api="v3", journal_events=1_000) as watcher:
        for _ in range(FAST):
            watcher.on("live/", prefix=True)(partial(fast))  # another function each time
        if with_slow:
            watcher.on("live/", prefix=True)(dawdle)
        write_steadily(server.url, "live/", RATE, count)
        rest.set()  # it hurries up, so that one need not wait for it
        watcher.sync(120)
    note = f"{len(latencies):,} of {FAST * count:,} calls"
    if with_slow:
        once = len(by_the_slow) == len(set(by_the_slow)) == count
        note += "; the slow one was told each once" if once else "; the slow one was NOT told all"
    for part in (50, 99):
        yield Measurement(work, "etcd_watcher", percentile(latencies, part), f"ms p{part}", note)
