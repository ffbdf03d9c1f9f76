"""How long it takes to begin."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.measure import Measurement, Size
from etcd_watcher import LocalEtcd

__all__ = ["start"]

RUNS = 20
IMPORTS = ["pass", "import asyncio", "import etcd_watcher", "import grpc"]

FIRST_EVENT = """
import sys, threading, time
from etcd_watcher import Watcher
url, api = sys.argv[1:]
began = time.perf_counter()
came = threading.Event()
with Watcher(url, api=api) as watcher:
    watcher.on("key")(lambda event: came.set())
    watcher.put("key", "value")
    came.wait(30)
    print(time.perf_counter() - began)
"""


def start(size: Size) -> Iterator[Measurement]:
    """Start: imports in a new process, over one that imports nothing; and the first event."""
    for _ in range(size.rounds):
        times: dict[str, list[float]] = {each: [] for each in IMPORTS}
        for _ in range(size.of(RUNS, 2)):
            for each in IMPORTS:
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", each], check=True)
                times[each].append(time.perf_counter() - began)
        nothing = min(times["pass"])
        for each in IMPORTS[1:]:
            # The least of several runs: whatever else the machine does only adds to it.
            yield Measurement("a new process", each, (min(times[each]) - nothing) * 1e3, "ms")
    with LocalEtcd(version="3.5") as server:
        for _ in range(size.rounds):
            for api in ("v2", "v3"):
                command = [sys.executable, "-c", FIRST_EVENT, server.url, api]
                done = subprocess.run(command, check=True, capture_output=True)
                work = f"from Watcher(url) to the first event, {api}"
                yield Measurement(work, "etcd_watcher", float(done.stdout) * 1e3, "ms")
