"""Watch many keys, in a process of its own: its memory is measured.

python -m benchmarks.many_keys URL KEYS PUTS
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from unittest.mock import patch

import psutil

from benchmarks.fanout import resident
from etcd_watcher import Event, Watcher
from etcd_watcher.demux import Demux
from etcd_watcher.stores.base import Batch


def main() -> None:
    """Print what so many keys take.

    That is: MiB, threads of Python and of the system, connections, seconds to register, and the us
    of CPU an event and the events a message of so many puts, and of as many more. Where there is a
    key for each put, the first ones are the first events of their keys and subscribers, and the
    others are not.
    """
    _, url, keys, puts = sys.argv
    told, done, messages = [0], threading.Event(), [0]
    take = Demux.take

    def counted(demux: Demux, batch: Batch) -> None:
        messages[0] += bool(batch.events)
        take(demux, batch)

    class One:
        def __call__(self, _: Event) -> None:
            told[0] += 1
            if told[0] == int(puts):
                done.set()

    with patch.object(Demux, "take", counted), Watcher(url, api="v3") as watcher:
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
        writer = [
            sys.executable,
            "-m",
            "benchmarks.writing",
            "one-by-one",
            url,
            "many/",
            keys,
            puts,
        ]
        costs = []
        for _ in range(2):
            told[0] = messages[0] = 0
            done.clear()
            cpu = time.process_time()
            subprocess.run(writer, check=True)
            if not done.wait(60):
                sys.exit(f"of {puts} events {told[0]} came")
            costs.append((time.process_time() - cpu) / int(puts) * 1e6)
            costs.append(int(puts) / messages[0])
        process = psutil.Process()
        # Those of libraries among them.
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
