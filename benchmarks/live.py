"""How long a change takes from its put to a callback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import Measurement, Size
from benchmarks.peers import PEERS, ROOT, available, started
from etcd_watcher import LocalEtcd

__all__ = ["live", "percentile", "write_steadily"]

SECONDS = 5
WARM_UP = 0.2
"""The part of the puts, at the beginning, that is not counted."""


def live(size: Size) -> Iterator[Measurement]:
    """Live: from when a put is due to its callback, with a writer at a steady rate."""
    ways = available(["stub", "etcd_watcher", "etcdctl", *PEERS])
    a_third = -(-size.rounds // 3)  # the rate in the middle is what the others are held against
    for rate, rounds in ((100, a_third), (1_000, size.rounds), (5_000, a_third)):
        count = size.of(rate * SECONDS, 20)
        with LocalEtcd(version="3.5") as server:
            for _ in range(rounds):
                for way in ways:
                    yield from _once(server, way, rate, count)


def _once(server: LocalEtcd, way: str, rate: int, count: int) -> Iterator[Measurement]:
    work = f"{rate:,} puts/s"
    try:
        with started(way, server.url, "live/", count) as process:
            write_steadily(server.url, "live/", rate, count)
            answer, errors = process.communicate(timeout=20)
    except subprocess.SubprocessError as error:
        answer, errors = "", str(error)
    if not answer:
        yield Measurement(work, way, 0, "ms p50", f"failed: {errors[-150:]}")
        return
    came = json.loads(answer.splitlines()[-1])["nanoseconds"]
    counted = [each / 1e6 for each in came[int(len(came) * WARM_UP) :]]
    for part in (50, 99, 99.9):
        yield Measurement(work, way, percentile(counted, part), f"ms p{part}")


def percentile(values: list[float], part: float) -> float:
    """Give the value below which that part of a hundred lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))]


def write_steadily(url: str, prefix: str, rate: float, count: int) -> list[int]:
    """Have another process write at a steady rate; give the latencies of its puts in nanoseconds."""
    command = [sys.executable, "-m", "benchmarks.writing", "steady", url, prefix]
    done = subprocess.run(
        [*command, str(rate), str(count)], cwd=ROOT, capture_output=True, check=True
    )
    latencies: list[int] = json.loads(done.stdout)
    return latencies
