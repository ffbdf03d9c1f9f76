"""What recording costs the live events: the same watcher with it and without, in turns."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Self

from benchmarks.live import write_steadily
from benchmarks.measure import Measurement, Size
from benchmarks.peers import ROOT
from etcd_watcher import Event, LocalEtcd, Recording, Watcher

__all__ = ["recording"]

RATE = 5_000
SECONDS = 6
BURST = 50_000
KEYS = 100

WAYS = ("without recording", "recording")


def recording(size: Size) -> Iterator[Measurement]:
    """Record, or do not: what a callback is told at 5,000 puts/s, and as fast as etcd takes them."""
    with LocalEtcd(version="3.5") as server:
        for _ in range(size.rounds):
            for way in WAYS:
                yield from _steady(server, way, size.of(RATE * SECONDS, 20))
            for way in WAYS:
                yield from _burst(server, way, size.of(BURST, 100))


def _steady(server: LocalEtcd, way: str, count: int) -> Iterator[Measurement]:
    """Measure events a second and processor time an event with a writer at a steady rate."""
    with _told(server, way, "steady/") as told:
        write_steadily(server.url, "steady/", RATE, count)
        told.finish(count)
    work = f"{RATE:,} puts/s"
    yield Measurement(work, way, told.rate, "events/s", told.note(count))
    yield Measurement(work, way, told.processor, "us/event of processor time")


def _burst(server: LocalEtcd, way: str, count: int) -> Iterator[Measurement]:
    """Measure events a second with a writer that has many puts under way."""
    command = [sys.executable, "-m", "benchmarks.writing", "fill", server.url, "burst/"]
    with _told(server, way, "burst/") as told:
        subprocess.run([*command, str(KEYS), str(count)], cwd=ROOT, check=True)
        told.finish(count)
    yield Measurement(f"{count:,} puts at once", way, told.rate, "events/s", told.note(count))


class _told:  # noqa: N801 - used as a block
    """A watcher with one callback, and what it was told, recorded or not."""

    def __init__(self, server: LocalEtcd, way: str, prefix: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "recording.jsonl"
        self._recorded = way == "recording"
        self._came: list[float] = []
        self._watcher = Watcher(server.url, api="v3")
        self._watcher.on(prefix, prefix=True)(self._note)
        self._records = self._watcher.record(self._path) if self._recorded else nullcontext()
        self._cpu = time.process_time()
        self.processor = self.rate = 0.0
        self._kept = 0

    def _note(self, _: Event) -> None:
        self._came.append(time.perf_counter())

    def finish(self, count: int) -> None:
        """Wait for the last one, and look at what was kept."""
        self._watcher.sync(60)
        self.processor = 1e6 * (time.process_time() - self._cpu) / count
        self.rate = (len(self._came) - 1) / (self._came[-1] - self._came[0])
        self._watcher.close()
        self._kept = len(Recording(self._path).events()) if self._recorded else 0

    def note(self, count: int) -> str:
        """Say what was lost."""
        told = f"{len(self._came):,} of {count:,} told"
        return f"{told}, {self._kept:,} recorded" if self._recorded else told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watcher.close()
        self._folder.cleanup()
