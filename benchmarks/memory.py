"""What a million events leave in memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

from benchmarks.fanout import resident
from benchmarks.measure import Measurement, Size
from benchmarks.peers import ROOT
from benchmarks.writing import fill
from etcd_watcher import Event, LocalEtcd, Watcher

__all__ = ["memory"]

EVENTS = 1_000_000


def memory(size: Size) -> Iterator[Measurement]:
    """Memory: 1,000,000 events through, and 1,000,000 behind one who stands still."""
    for _ in range(size.rounds):
        for way in ("through", "behind"):
            for events in (EVENTS // 10, EVENTS):
                with LocalEtcd(version="3.5") as server:
                    yield _measure(server, way, size.of(events, 200))


def _measure(server: LocalEtcd, way: str, events: int) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.memory", way, server.url, str(events)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    grown, told = done.stdout.split()
    note = "all told, each once" if int(told) == events else f"{told} of {events} told"
    work = f"{events:,} events {way}"
    return Measurement(work, "etcd_watcher", float(grown), "MiB more", note)


def main() -> None:
    """Print how much this process grew, and how many events were told."""
    _, way, url, count = sys.argv
    events = int(count)
    told = 0
    go_on = threading.Event()
    if way == "through":
        go_on.set()

    def callback(_: Event) -> None:
        nonlocal told
        go_on.wait()
        told += 1

    with Watcher(url, api="v3") as watcher:
        watcher.on("m/", prefix=True)(callback)
        watcher.put("warm", "up")
        before = resident()
        writer = threading.Thread(target=fill, args=(url, "m/", events), kwargs={"at_once": 100})
        writer.start()
        writer.join()
        if way == "behind":
            # The feed has everything, and the subscriber nothing.
            last = watcher._store.revision(10)  # noqa: SLF001 - how far the server is
            while watcher.revision < last:
                watcher._feed.wait_for_change(1)  # noqa: SLF001
        else:
            watcher.sync(300)
        grown = resident() - before
        go_on.set()
        watcher.sync(300)
    print(grown, told)


if __name__ == "__main__":
    main()
