"""One event for many subscribers, and many keys with a subscriber each."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks.measure import Measurement, Size
from benchmarks.peers import ROOT
from etcd_watcher import Event, LocalEtcd, Watcher
from etcd_watcher.demux import Demux

__all__ = ["fan_out", "many_keys"]

EVENTS = 40
PUTS = 10_000
PATIENCE = 60.0
CPU = "us of CPU an event"


class Counter:
    """A subscriber that counts, and says when everybody has been told."""

    def __init__(self, everybody: list[int], done: threading.Event, count: int) -> None:
        self._everybody = everybody
        self._done = done
        self._count = count

    def __call__(self, _: Event) -> None:
        self._everybody[0] += 1
        if self._everybody[0] == self._count:
            self._done.set()


def fan_out(size: Size) -> Iterator[Measurement]:
    """Fan-out: from one decoded event to the return of the last callback, beside a bare loop."""
    with LocalEtcd(version="3.5") as server:
        for count in (1, 100, 1_000, 10_000):
            for _ in range(size.rounds):
                yield from _tell(server, size.of(count), size.of(EVENTS, 3))


def _tell(server: LocalEtcd, count: int, events: int) -> Iterator[Measurement]:
    work = f"1 key, {count:,} subscriber{'s' if count > 1 else ''}"
    told, done = [0], threading.Event()
    subscribers = [Counter(told, done, count) for _ in range(count)]
    began: list[float] = []
    publish = Demux.publish

    def timed(demux: Demux, news: Sequence[Event], *rest: Any, **named: Any) -> None:
        began.append(time.perf_counter())
        publish(demux, news, *rest, **named)

    seconds, from_put = [], []
    # To know when it was decoded.
    with patch.object(Demux, "publish", timed), Watcher(server.url, api="v3") as watcher:
        for each in subscribers:
            watcher.on("key")(each)
        for _ in range(events):
            told[0] = 0
            done.clear()
            put_at = time.perf_counter()
            watcher.put("key", "value")
            done.wait(PATIENCE)
            ended = time.perf_counter()
            watcher.sync(PATIENCE)
            seconds.append(ended - began[-1])
            from_put.append(ended - put_at)
        event = watcher.journal.events()[-1]
    bare = []
    for _ in range(events):
        told[0] = 0
        at = time.perf_counter()
        for each in subscribers:
            each(event)
        bare.append(time.perf_counter() - at)
    yield Measurement(work, "etcd_watcher", count / statistics.median(seconds), "callbacks/s")
    yield Measurement(work, "a bare loop", count / statistics.median(bare), "callbacks/s")
    milliseconds = statistics.median(from_put) * 1e3
    yield Measurement(work, "etcd_watcher", milliseconds, "ms from the put to the last")


def many_keys(size: Size) -> Iterator[Measurement]:
    """Many keys, each with a subscriber of its own: what they take, and what an event costs."""
    with LocalEtcd(version="3.5") as server:
        for _ in range(size.rounds):
            with_ten: list[Measurement] = []
            for count in (10, 1_000, 10_000):
                measured = list(_watch(server, size.of(count, 10), size.of(PUTS, 100)))
                yield from measured
                if with_ten:
                    yield from _growth(measured, with_ten)
                else:
                    with_ten = measured


def _growth(measured: list[Measurement], with_ten: list[Measurement]) -> Iterator[Measurement]:
    """Tell how many times what it takes with ten keys an event takes, in the same round."""
    for ours, theirs in zip(measured, with_ten, strict=True):
        if ours.unit.startswith(CPU):
            unit = f"times the CPU with 10 keys{ours.unit.removeprefix(CPU)}"
            yield Measurement(ours.work, ours.way, ours.figure / theirs.figure, unit)


def _watch(server: LocalEtcd, count: int, puts: int) -> Iterator[Measurement]:
    work = f"{count:,} keys, a subscriber each"
    command = [sys.executable, "-m", "benchmarks.many_keys", server.url, str(count), str(puts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    mib, threads, all_threads, connections, seconds, *costs = map(float, done.stdout.split())
    yield Measurement(work, "etcd_watcher", mib, "MiB over an empty watcher")
    yield Measurement(work, "etcd_watcher", threads, "threads of Python")
    yield Measurement(work, "etcd_watcher", all_threads, "threads that the system counts")
    yield Measurement(work, "etcd_watcher", connections, "connections")
    # Fewer events a message cost more each: from 44 to 1 an event went from 4 to 24 us. So the writer
    # has one put under way, and each event has a message of its own, however many keys there are.
    for which, cost, at_once in zip(("first", "next"), costs[::2], costs[1::2], strict=True):
        yield Measurement(work, "etcd_watcher", cost, f"{CPU}, of the {which} {puts:,}")
        yield Measurement(
            work, "etcd_watcher", at_once, f"events a message, of the {which} {puts:,}"
        )
    yield Measurement(work, "etcd_watcher", seconds, "s to register")


def resident() -> float:
    """Give the memory of this process in MiB, with what can be collected gone."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20
