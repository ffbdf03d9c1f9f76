"""Watch many keys, in a process of its own: its memory is measured.

python -m benchmarks.many_keys URL KEYS PUTS
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import psutil

from benchmarks.fanout import resident
from etcd_watcher import Event, Watcher


def main() -> None:
    """Print MiB, threads of Python and of the system, connections, us of CPU an event, and the seconds to register."""
    _, url, keys, puts = sys.argv
    told, done = [0], threading.Event()

    class One:
        def __call__(self, _: Event) -> None:
            told[0] += 1
            if told[0] == int(puts):
                done.set()

    with Watcher(url, api="v3") as watcher:
        watcher.on("empty")(One())
        watcher.put("empty", "")
        watcher.sync()
        told[0] = 0
        before = resident()
        began = time.perf_counter()
        for number in range(int(keys)):
            watcher.on(f"many/{number:05}")(One())
        seconds = time.perf_counter() - began
        mib = resident() - before
        cpu = time.process_time()
        writer = [sys.executable, "-m", "benchmarks.writing", "fill", url, "many/", keys, puts]
        subprocess.run(writer, check=True)
        done.wait(60)
        cpu = time.process_time() - cpu
        process = psutil.Process()
        # gRPC's own threads among them: the system counts.
        print(
            mib,
            threading.active_count(),
            process.num_threads(),
            sum(each.status == "ESTABLISHED" for each in process.net_connections("tcp")),
            cpu / int(puts) * 1e6,
            seconds,
        )


if __name__ == "__main__":
    main()
