"""A hundred thousand events: recorded live, and replayed ten times over."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Recording, Watcher
from etcd_watcher.stores.v3 import V3Store

EVENTS = 100_000
KEYS = 100


class Teller:
    """A subscriber that writes what it is told to a text of its own."""

    def __init__(self) -> None:
        self.said = io.StringIO()

    def tell(self, key: str, value: str | None) -> None:
        self.said.write(f"{key} = {value}\n")


@contextmanager
def listening(watcher: Watcher, prefix: str) -> Iterator[Teller]:
    teller = Teller()
    watcher.register(f"{prefix}/1", teller, "tell", prefix=True)
    yield teller


def write(url: str, prefix: str, count: int) -> None:
    """Write and delete, from several connections at once."""

    def some(part: int) -> None:
        store = V3Store([url])
        store.connect(10)
        for number in range(part, count, 8):
            key = f"{prefix}/{number % KEYS}".encode()
            if number % 10 == 9:
                store.put(key, b"x", None, 10)
                store.delete(key, 10, prefix=False)
            else:
                store.put(key, b"%d" % number, None, 10)
        store.close()

    threads = [threading.Thread(target=some, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def record_and_replay(etcd: LocalEtcd, path: Path, prefix: str, count: int, times: int) -> None:
    with Watcher(etcd.url, api="v3", journal_events=2 * count) as live:
        live.add_key(f"{prefix}/", prefix=True)
        with listening(live, prefix) as teller, live.record(path):
            write(etcd.url, prefix, count)
        live.sync(60)
        records = list(live.journal)
        said = teller.said.getvalue()
    assert len(records) >= count
    recording = Recording(path)
    for _ in range(times):
        with Watcher(recording, speed="max", journal_events=2 * count) as replay:
            replay.add_key(f"{prefix}/", prefix=True)
            with listening(replay, prefix) as teller:
                replay.sync(120)
                assert list(replay.journal) == records
                assert teller.said.getvalue() == said


def test_thousands_of_events_are_replayed_as_they_were(
    etcd: LocalEtcd, fresh_key: str, tmp_path: Path
) -> None:
    record_and_replay(etcd, tmp_path / "lesson.jsonl", fresh_key, 2000, 2)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_100_000_events_are_replayed_ten_times_as_they_were(tmp_path: Path) -> None:
    with LocalEtcd(version="3.5") as etcd:
        record_and_replay(etcd, tmp_path / "lesson.jsonl", "long", EVENTS, 10)
