"""Open, register, put, sync, close, a thousand times: nothing is left of it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import psutil
import pytest

from etcd_watcher import LocalEtcd, Watcher
from tests.threads import threads_left

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 1000

WARM_UP = 200
"""Rounds after which everything that is made once is there."""

GROWTH = 4.0
"""Megabytes that are no growth: an allocator's whims. A kilobyte a round would show as 0.8, and a
thread's stack or a connection's buffers as more than that each."""


class Listener:
    def __init__(self) -> None:
        self.told: list[str | None] = []

    def tell(self, _: str, value: str | None) -> None:
        self.told.append(value)


def one_round(url: str, api: str, number: int) -> None:
    listener = Listener()
    with Watcher(url, api=api) as watcher:
        watcher.register("round", listener, "tell")
        watcher.put("round", str(number))
        watcher.sync()
    assert listener.told == [str(number)]


def held(process: psutil.Process) -> dict[str, int]:
    return {
        "threads": process.num_threads(),
        "ours": sum(each.name.startswith("etcd_watcher-") for each in threading.enumerate()),
        "file descriptors": process.num_fds(),
        "sockets": len(process.net_connections()),
    }


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_after_a_thousand_rounds_there_is_no_more_than_before(etcd: LocalEtcd, api: str) -> None:
    process = psutil.Process()
    for number in range(WARM_UP):
        one_round(etcd.url, api, number)
    before, memory = settled(process)
    for number in range(WARM_UP, ROUNDS):
        one_round(etcd.url, api, number)
    after, memory_after = settled(process)
    grown = (memory_after - memory) / 1e6
    print(f"\n{api}: {before} before, {after} after, {grown:+.2f} MB")  # noqa: T201 - for the docs
    assert after == before
    assert grown < GROWTH


def settled(process: psutil.Process) -> tuple[dict[str, int], int]:
    """Give what is held, once what is just ending has ended."""
    assert threads_left() == []
    gc.collect()
    found = held(process)
    until_it_stays(lambda: held(process), found)
    return held(process), process.memory_info().rss


def until_it_stays(look: Callable[[], dict[str, int]], found: dict[str, int]) -> None:
    """Look again for as long as it becomes less: gRPC and the kernel close in their own time."""
    pause = threading.Event()
    for _ in range(50):
        pause.wait(0.05)
        now = look()
        if now == found and pause.wait(0.2) is False and look() == found:
            return
        found = now
