"""One who is slow: at nobody's cost, and told of everything in the end."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import psutil
import pytest

from etcd_watcher import Event, LocalEtcd, Watcher
from tests.robustness.flood import Flood, sent_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 12
"""Times that the fast one is measured alone, and beside the slow one, in turn."""

SECONDS = 1.7
"""Of each."""

SETTLE = 0.3
"""Seconds at the beginning of each that do not count."""

RATE = 2000
"""Events a second, ten in a transaction: two thousand puts a second from Python leave two cores
nothing to deliver them with."""


class Fast:
    """Notes how long each event was on its way."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float]] = []

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        self.told.append((now, now - sent_at(event.value)))

    def delays(self, begin: float, end: float) -> list[float]:
        """Give the delays of what came in a stretch of time."""
        return [delay for when, delay in self.told if begin <= when < end]


class Slow:
    """Takes 10 ms for each event, until it is told to hurry."""

    def __init__(self) -> None:
        self.revisions: list[int] = []
        self.hurry = threading.Event()

    def __call__(self, event: Event) -> None:
        self.revisions.append(event.revision)
        self.hurry.wait(0.01)


def p99(delays: list[float]) -> float:
    return sorted(delays)[int(len(delays) * 0.99)]


def test_a_fast_subscriber_is_as_quick_beside_a_slow_one(etcd: LocalEtcd) -> None:
    """In the same run, in turn, so that whatever else the machine does is done to both."""
    fast, slow = Fast(), Slow()
    alone: list[float] = []
    beside: list[float] = []
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.on("k/", prefix=True)(fast)
        with Flood([etcd.url], RATE, 2 * ROUNDS * SECONDS + 5, size=30, together=10) as flood:
            watcher.wait_for("k/", prefix=True, timeout=60)
            for _ in range(ROUNDS):
                alone += measured(fast)
                watcher.unregister("k/", slow)
                slow.hurry.set()
                slow = Slow()
                watcher.on("k/", prefix=True)(slow)
                begun = watcher._store.revision(10)
                beside += measured(fast)
            behind = watcher.delivery(slow).lagging
            acknowledged = flood.join()
        slow.hurry.set()
        watcher.sync(timeout=120)
    rate = len(beside) / (ROUNDS * (SECONDS - SETTLE))
    print(  # noqa: T201 - the figures for docs/robustness.md
        f"\n{rate:.0f} events/s; p99 alone {1000 * p99(alone):.2f} ms, beside a slow one "
        f"{1000 * p99(beside):.2f} ms: {p99(beside) / p99(alone):.2f} times; the slow one was "
        f"{behind:,} behind, and was told of {len(slow.revisions):,} events"
    )
    assert behind > 100
    assert slow.revisions == sorted(slow.revisions)
    assert len(slow.revisions) == 10 * len(set(slow.revisions))
    due = {each.revision for each in acknowledged if each.revision > begun}
    assert due <= set(slow.revisions)
    assert p99(beside) <= 1.3 * p99(alone)


def measured(fast: Fast) -> list[float]:
    """Measure for a while, once what was before has settled."""
    pause = threading.Event()
    pause.wait(SETTLE)
    begin = time.monotonic()
    pause.wait(SECONDS - SETTLE)
    return fast.delays(begin, time.monotonic())


EVENTS = 1_000_000
TOGETHER = 100
"""Events in a transaction, so that a million of them are written within the minute."""


def test_a_million_events_behind_cost_less_than_100_megabytes(etcd: LocalEtcd) -> None:
    told: list[int] = []
    stands, go_on, pause = threading.Event(), threading.Event(), threading.Event()

    def read(event: Event) -> None:
        stands.set()
        go_on.wait()
        told.append(event.revision)

    process = psutil.Process()
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.on("m/", prefix=True)(read)
        watcher.put("m/first", "x" * 100)
        assert stands.wait(10)
        gc.collect()
        before = most = process.memory_info().rss
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.flood", etcd.url, str(EVENTS), str(TOGETHER)],
            stdout=subprocess.PIPE,
            text=True,
        )
        while writer.poll() is None:
            most = max(most, process.memory_info().rss)
            pause.wait(0.1)
        last = int(writer.communicate()[0])
        assert watcher._feed.wait_complete(last, 60)
        most = max(most, process.memory_info().rss)
        grown = (most - before) / 1e6
        behind = watcher.delivery(read).lagging
        told_at_once = len(told)
        go_on.set()
        began = time.monotonic()
        watcher.sync(timeout=300)
        took = time.monotonic() - began
        caught_up = (process.memory_info().rss - before) / 1e6
    print(  # noqa: T201 - as above
        f"\n{EVENTS:,} events of 100 bytes behind: {grown:.0f} MB more; caught up in {took:.1f} s, "
        f"{caught_up:.0f} MB more"
    )
    assert told_at_once == 0
    assert behind > 0.9 * EVENTS / TOGETHER
    assert len(told) == EVENTS + 1
    assert told == sorted(told)
    assert grown < 100
