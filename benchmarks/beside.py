"""What a long catch-up does to others on the same server, or the same cluster."""

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
from etcd_watcher import LocalCluster, LocalEtcd

__all__ = ["beside", "beside_cluster"]

PAST = 500_000
RATE = 500
SECONDS = 20
TIMEOUT = 300.0

LATE = 50.0
"""Milliseconds from which a put was held up."""


def beside(size: Size) -> Iterator[Measurement]:
    """Beside others: a catch-up of 500,000 puts, and a live subscriber of other keys, at 500 puts/s for 20 s."""
    with LocalEtcd(version="3.5") as server:
        yield from _measure(server.url, server.url, size)


def beside_cluster(size: Size) -> Iterator[Measurement]:
    """Beside others in a cluster of three: as above, where a catch-up has another member to read from."""
    with LocalCluster(version="3.5") as cluster:
        members = list(cluster.members.values())
        leader = next(each for each in members if each.name == cluster.leader.name)
        members.remove(leader)
        # The live subscriber, the writer and the catch-up all begin with the leader.
        endpoints = ",".join(each.direct_url for each in (leader, *members))
        yield from _measure(endpoints, leader.direct_url, size)


def _measure(endpoints: str, writer: str, size: Size) -> Iterator[Measurement]:
    past, count = size.of(PAST), size.of(RATE * SECONDS, 50)
    fill(writer, "past/", past)
    for _ in _live(endpoints, writer, "", past, count):
        pass  # who has just taken in so much is busy with it for a while
    ways = ["", *available(["etcd_watcher", "etcdctl"])]
    for _ in range(size.rounds):
        for way in ways:
            yield from _live(endpoints, writer, way, past, count)


def _live(endpoints: str, writer: str, way: str, past: int, count: int) -> Iterator[Measurement]:
    work = f"beside a catch-up of {past:,} by {way}" if way else "alone"
    took: list[float] = []

    def read() -> None:
        began = time.perf_counter()
        try:
            follow(way, endpoints, "past/", past, SECONDS + 10)
        except subprocess.TimeoutExpired:
            return  # etcdctl takes minutes: it reads for all of the time
        took.append(time.perf_counter() - began)

    reader = threading.Thread(target=read)
    with started("etcd_watcher", endpoints, "live/", count) as process:
        if way:
            reader.start()
        puts = [each / 1e6 for each in write_steadily(writer, "live/", RATE, count)]
        answer, _ = process.communicate(timeout=TIMEOUT)
    if way:
        reader.join()
    note = f"the catch-up took {took[0]:.1f} s" if took else ""
    if way and not took:
        note = "the catch-up took longer"
    came = [each / 1e6 for each in json.loads(answer.splitlines()[-1])["nanoseconds"]]
    for part in (50, 99):
        yield Measurement(work, "live subscriber", percentile(came, part), f"ms p{part}", note)
        yield Measurement(work, "put", percentile(puts, part), f"ms p{part}", note)
    late = 100 * sum(each > LATE for each in puts) / len(puts)
    yield Measurement(work, "put", late, "% over 50 ms", note)
