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
    """Print what so many keys take.

    That is: MiB, threads of Python and of the system, connections, seconds to register, and the us
    of CPU an event of so many puts, and of as many more. Where there is a key for each put, the
    first ones are the first events of their keys and subscribers, and the others are not.
    """
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
        writer = [sys.executable, "-m", "benchmarks.writing", "fill", url, "many/", keys, puts]
        costs = []
        for _ in range(2):
            told[0] = 0
            done.clear()
            cpu = time.process_time()
            subprocess.run(writer, check=True)
            if not done.wait(60):
                sys.exit(f"of {puts} events {told[0]} came")
            costs.append((time.process_time() - cpu) / int(puts) * 1e6)
        process = psutil.Process()
        # gRPC's own threads among them: the system counts.
        print(
            mib,
            threading.active_count(),
            process.num_threads(),
            sum(each.status == "ESTABLISHED" for each in process.net_connections("tcp")),
            seconds,
            *costs,
        )


if __name__ == "__main__":
    main()
