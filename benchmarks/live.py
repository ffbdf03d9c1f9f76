"""How long a change takes from its put to a callback."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from benchmarks.measure import Measurement, Size
from benchmarks.peers import PEERS, ROOT, available, started
from etcd_watcher import LocalEtcd

__all__ = ["live", "percentile", "write_steadily"]

SECONDS = 2
"""Of writing to one way, before it is another's turn."""

CAUGHT_UP = 1.0
"""Seconds for those that are behind to come to the end, before another's turn."""


WITH_EASE = 1_000
"""Puts a second with which all ways keep up."""


def live(size: Size) -> Iterator[Measurement]:
    """Live: from when a put is due to its callback, with a writer at a steady rate."""
    ways = available(["stub", "etcd_watcher", "etcdctl", *PEERS])
    # The rate in the middle is what the others are held against.
    for rate, turns in ((100, size.rounds), (1_000, 3 * size.rounds), (5_000, size.rounds)):
        with LocalEtcd(version="3.5") as server:
            yield from _in_turn(server, ways, rate, turns, size.of(rate * SECONDS, 20))


def _in_turn(
    server: LocalEtcd, ways: list[str], rate: int, turns: int, count: int
) -> Iterator[Measurement]:
    """Write to each way again and again, the others standing by, each time in another order.

    So whatever happens on the machine meanwhile happens to all of them. The first turn of each is
    not counted.
    """
    order = random.Random(turns)  # noqa: S311 - no secret
    with ExitStack() as stack:
        running = {}
        for way in ways:
            with suppress(subprocess.SubprocessError):
                follower = started(way, server.url, f"live/{way}/", (turns + 1) * count)
                running[way] = stack.enter_context(follower)
        for _ in range(turns + 1):
            for way in order.sample(list(running), len(running)):
                write_steadily(server.url, f"live/{way}/", rate, count)
                if rate > WITH_EASE:
                    time.sleep(min(CAUGHT_UP, count / rate))
        for way in ways:
            yield from _told(running.get(way), way, rate, count)


def _told(
    process: subprocess.Popen[str] | None, way: str, rate: int, count: int
) -> Iterator[Measurement]:
    """Give what a way has measured, a turn at a time."""
    work = f"{rate:,} puts/s"
    answer = errors = "it did not begin"
    if process is not None:
        try:
            answer, errors = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            answer, errors = "", "not all came"
    try:
        came = json.loads(answer.splitlines()[-1])["nanoseconds"]
    except (IndexError, ValueError):
        yield Measurement(work, way, 0, "ms p50", f"failed: {errors[-150:]}")
        return
    for begin in range(count, len(came), count):
        turn = [each / 1e6 for each in came[begin : begin + count]]
        for part in (50, 99, 99.9):
            yield Measurement(work, way, percentile(turn, part), f"ms p{part}")


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
