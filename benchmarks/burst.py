"""A burst of writes to one key by another process: what arrives, and how fast."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import etcd

from benchmarks.measure import Measurement
from etcd_watcher import LocalEtcd, Watcher

__all__ = ["burst"]

WRITES = 2000

WRITER = """
import http.client, sys, urllib.parse
url, count = sys.argv[1:]
connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
form = {"Content-Type": "application/x-www-form-urlencoded"}
for number in range(int(count)):
    connection.request("PUT", "/v2/keys/key", f"value={number}", form)
    connection.getresponse().read()
"""


def burst() -> list[Measurement]:
    """2,000 writes on the v2 API as fast as a process writes them; events a second, start to end."""
    with LocalEtcd() as server:
        return [
            ours(server),
            python_etcd(server, "python-etcd, a loop with an index", with_index=True),
            python_etcd(server, "one thread a key without an index (the seed)", with_index=False),
        ]


def write(server: LocalEtcd) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", WRITER, server.url, str(WRITES)], check=True)
    return began


def result(way: str, came: list[str | None], began: float) -> Measurement:
    rate = len(came) / (time.perf_counter() - began)
    return Measurement(way, rate, "events/s", f"{len(came):,} of {WRITES:,} arrived")


def ours(server: LocalEtcd) -> Measurement:
    came: list[str | None] = []
    with Watcher(server.url, api="v2") as watcher:
        watcher.register("key", came, lambda _, value: came.append(value))
        began = write(server)
        watcher.sync(60)
        return result("etcd_watcher", came, began)


def python_etcd(server: LocalEtcd, way: str, *, with_index: bool) -> Measurement:
    host, _, port = server.url.removeprefix("http://").partition(":")
    client = etcd.Client(host=host, port=int(port), read_timeout=60)
    came: list[str | None] = []
    ready = threading.Event()

    def poll() -> None:
        index = client.write("/other", "x").modifiedIndex + 1 if with_index else None
        ready.set()
        while not came or came[-1] != str(WRITES - 1):
            try:
                change = client.read("/key", wait=True, waitIndex=index, timeout=2)
            except etcd.EtcdWatchTimedOut:
                return  # the last writes passed between two polls
            came.append(change.value)
            if with_index:
                index = change.modifiedIndex + 1

    poller: Callable[[], None] = poll
    thread = threading.Thread(target=poller)
    thread.start()
    ready.wait()
    began = write(server)
    thread.join()
    return result(way, came, began)
