"""The v2 API: a burst of writes, and what the server still knows of the past."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import etcd

from benchmarks.measure import Measurement, Size
from etcd_watcher import LocalEtcd, Watcher

__all__ = ["v2"]

WRITES = 2000
KNOWN = 1000
"""Changes that a v2 server remembers."""

WITH_INDEX = "python-etcd, a loop with an index"
WITHOUT = "python-etcd, one thread a key without an index (the seed)"

WRITER = """
import http.client, sys, urllib.parse
url, count = sys.argv[1:]
connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
form = {"Content-Type": "application/x-www-form-urlencoded"}
for number in range(int(count)):
    connection.request("PUT", "/v2/keys/key", f"value={number}", form)
    connection.getresponse().read()
"""


def v2(size: Size) -> Iterator[Measurement]:
    """v2: a burst of 2,000 writes to a key as fast as a process writes them, and a catch-up."""
    ways: list[tuple[str, Callable[[LocalEtcd, int], Iterator[Measurement]]]] = [
        ("etcd_watcher", _ours),
        (WITH_INDEX, _by_index),
        (WITHOUT, _by_the_seed),
    ]
    with LocalEtcd(version="3.5") as server:
        for _ in range(size.rounds):
            for _, follow in ways:
                yield from follow(server, size.of(WRITES, 20))
            known = size.of(KNOWN - 10, 10)
            _write(server, known)
            yield _catch_up_ours(server, known)
            yield _catch_up_by_index(server, known)


def _write(server: LocalEtcd, count: int) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", WRITER, server.url, str(count)], check=True)
    return began


def _result(way: str, told: int, count: int, began: float) -> Measurement:
    rate = told / (time.perf_counter() - began)
    return Measurement(f"{count:,} writes", way, rate, "events/s", f"{told:,} of {count:,} arrived")


def _ours(server: LocalEtcd, count: int) -> Iterator[Measurement]:
    came: list[str | None] = []
    with Watcher(server.url, api="v2") as watcher:
        watcher.register("key", came, lambda _, value: came.append(value))
        began = _write(server, count)
        watcher.sync(60)
        yield _result("etcd_watcher", len(came), count, began)


def _client(server: LocalEtcd) -> etcd.Client:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return etcd.Client(host=host, port=int(port), read_timeout=60)


def _by_index(server: LocalEtcd, count: int) -> Iterator[Measurement]:
    yield _by_python_etcd(server, WITH_INDEX, count, with_index=True)


def _by_the_seed(server: LocalEtcd, count: int) -> Iterator[Measurement]:
    yield _by_python_etcd(server, WITHOUT, count, with_index=False)


def _by_python_etcd(server: LocalEtcd, way: str, count: int, *, with_index: bool) -> Measurement:
    client = _client(server)
    came: list[str | None] = []
    ready = threading.Event()

    def poll() -> None:
        index = client.write("/other", "x").modifiedIndex + 1 if with_index else None
        ready.set()
        while not came or came[-1] != str(count - 1):
            try:
                change = client.read("/key", wait=True, waitIndex=index, timeout=2)
            except etcd.EtcdWatchTimedOut:
                return  # the last writes passed between two polls
            came.append(change.value)
            if with_index:
                index = change.modifiedIndex + 1

    thread = threading.Thread(target=poll)
    thread.start()
    ready.wait()
    began = _write(server, count)
    thread.join()
    return _result(way, len(came), count, began)


def _catch_up_ours(server: LocalEtcd, count: int) -> Measurement:
    with Watcher(server.url, api="v2") as watcher:
        first = watcher._store.revision(10) - count + 1  # noqa: SLF001 - where the writes begin
        began = time.perf_counter()
        told = 0
        for _ in watcher.events("key", since=first):
            told += 1
            if told == count:
                break
        rate = told / (time.perf_counter() - began)
    return Measurement(f"catch-up of {count:,}", "etcd_watcher", rate, "events/s")


def _catch_up_by_index(server: LocalEtcd, count: int) -> Measurement:
    client = _client(server)
    index = client.read("/key").etcd_index - count + 1
    began = time.perf_counter()
    for _ in range(count):
        index = client.read("/key", wait=True, waitIndex=index).modifiedIndex + 1
    rate = count / (time.perf_counter() - began)
    return Measurement(f"catch-up of {count:,}", WITH_INDEX, rate, "events/s")
