"""What a long catch-up does to others on the same server."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator

from benchmarks.live import percentile, write_steadily
from benchmarks.measure import Measurement, Size
from benchmarks.peers import available, follow, started
from benchmarks.writing import fill
from etcd_watcher import LocalEtcd

__all__ = ["beside"]

PAST = 500_000
RATE = 500
SECONDS = 20
TIMEOUT = 300.0


def beside(size: Size) -> Iterator[Measurement]:
    """Beside others: a catch-up of 500,000 puts, and a live subscriber of other keys, at 500 puts/s for 20 s."""
    past, count = size.of(PAST), size.of(RATE * SECONDS, 50)
    with LocalEtcd(version="3.5") as server:
        fill(server.url, "past/", past)
        for _ in range(size.rounds):
            for way in ["", *available(["etcd_watcher", "etcdctl"])]:
                yield from _live(server, way, past, count)


def _live(server: LocalEtcd, way: str, past: int, count: int) -> Iterator[Measurement]:
    work = f"beside a catch-up of {past:,} by {way}" if way else "alone"
    took: list[float] = []

    def read() -> None:
        began = time.perf_counter()
        try:
            follow(way, server.url, "past/", past, SECONDS + 10)
        except subprocess.TimeoutExpired:
            return  # etcdctl takes minutes: it reads for all of the time
        took.append(time.perf_counter() - began)

    reader = threading.Thread(target=read)
    with started("etcd_watcher", server.url, "live/", count) as process:
        if way:
            reader.start()
        puts = [each / 1e6 for each in write_steadily(server.url, "live/", RATE, count)]
        answer, _ = process.communicate(timeout=TIMEOUT)
    if way:
        reader.join()
    note = f"the catch-up took {took[0]:.1f} s" if took else ""
    came = [each / 1e6 for each in json.loads(answer.splitlines()[-1])["nanoseconds"]]
    for part in (50, 99):
        yield Measurement(work, "live subscriber", percentile(came, part), f"ms p{part}", note)
        yield Measurement(work, "put", percentile(puts, part), f"ms p{part}", note)
