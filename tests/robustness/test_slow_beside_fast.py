"""One who is slow: at nobody's cost, and told of everything in the end."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Self

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
"""Events a second."""


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


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """Have Python's collector pass over what pytest has loaded.

    Else looking through it stops all threads for 50 ms now and then, and whether that is while the
    fast one is alone or not decides what is its p99.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
@pytest.mark.parametrize("together", [1, 10])
def test_a_fast_subscriber_is_as_quick_beside_a_slow_one(etcd: LocalEtcd, together: int) -> None:
    """In the same run, in turn, so that whatever else the machine does is done to both."""
    fast = Fast()
    alone: list[float] = []
    beside: list[float] = []
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.on("k/", prefix=True)(fast)
        seconds = 2 * ROUNDS * SECONDS + 5
        with Flood([etcd.url], RATE, seconds, size=30, together=together) as flood:
            watcher.wait_for("k/", prefix=True, timeout=60)
            for number in range(ROUNDS):
                alone += measured(fast)
                slow = Slow()
                watcher.on("k/", prefix=True)(slow)
                begun = watcher._store.revision(10)
                beside += measured(fast)
                behind = watcher.delivery(slow).lagging
                if number < ROUNDS - 1:  # the last one goes on to the end
                    watcher.unregister("k/", slow)
                    slow.hurry.set()
            acknowledged = flood.join()
        slow.hurry.set()
        watcher.sync(timeout=120)
    rate = len(beside) / (ROUNDS * (SECONDS - SETTLE))
    print(  # noqa: T201 - the figures for docs/robustness.md
        f"\n{rate:.0f} events/s, {together} in a transaction; p99 alone {1000 * p99(alone):.2f} ms, "
        f"beside a slow one {1000 * p99(beside):.2f} ms: {p99(beside) / p99(alone):.2f} times; the "
        f"slow one was {behind:,} behind, and was told of {len(slow.revisions):,} events"
    )
    assert behind > 100
    assert slow.revisions == sorted(slow.revisions)
    assert len(slow.revisions) == together * len(set(slow.revisions))
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


class Growth:
    """Looks, all the while, at how much larger this process has become."""

    def __init__(self) -> None:
        gc.collect()
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0.0
        """Megabytes."""

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, (self._process.memory_info().rss - self._before) / 1e6)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@pytest.mark.parametrize(("together", "bound"), [(10, 100), (100, 200)])
def test_a_million_events_behind_cost_little_memory(
    etcd: LocalEtcd, together: int, bound: int
) -> None:
    """Less than 100 MB; more while catching up where transactions are large.

    The journal's 64 MiB are in both. etcd tells 1,000 transactions in one response, which for a
    hundred events in each is 13.5 MB, and gRPC has it three times while it comes.
    """
    told: list[int] = []
    """How many came of each revision: a number for each event would take 40 MB by itself."""
    newest = 0
    stands, go_on = threading.Event(), threading.Event()

    def read(event: Event) -> None:
        nonlocal newest
        stands.set()
        go_on.wait()
        assert event.revision >= newest
        if event.revision > newest:
            told.append(0)
        newest = event.revision
        told[-1] += 1

    with Watcher(etcd.url, api="v3") as watcher:
        watcher.on("m/", prefix=True)(read)
        watcher.put("m/first", "x" * 100)
        assert stands.wait(10)
        with Growth() as growth:
            words = (etcd.url, str(EVENTS), str(together))
            done = subprocess.run(
                [sys.executable, "-m", "tests.robustness.flood", *words],
                capture_output=True,
                text=True,
                check=True,
            )
            assert watcher._feed.wait_complete(int(done.stdout), 60)
            behind = watcher.delivery(read).lagging
            told_at_once, grown = len(told), growth.most
            go_on.set()
            began = time.monotonic()
            watcher.sync(timeout=300)
            took = time.monotonic() - began
    print(  # noqa: T201 - as above
        f"\n{EVENTS:,} events of 100 bytes behind, {together} in a transaction: {grown:.0f} MB more; "
        f"caught up in {took:.1f} s, {growth.most:.0f} MB more at the most"
    )
    assert told_at_once == 0
    assert behind > 0.9 * EVENTS / together
    assert told == [1] + [together] * (EVENTS // together)
    assert watcher.delivery(read).failed == 0
    assert grown < 100
    assert growth.most < bound
