"""Watchers of recordings that a test makes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from etcd_watcher import Recording, Watcher
from etcd_watcher.event import Record
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import Header
from tests.fake_store import PATIENCE
from tests.threads import threads_left


@pytest.fixture
def play(path: Path) -> Iterator[Callable[..., Watcher]]:
    """Make a watcher of some records, which came one second after the other."""
    made: list[Watcher] = []

    def make(records: Sequence[Record], speed: float | str = "max", api: str = "v3") -> Watcher:
        save(path, Header(api), records, [float(second) for second in range(len(records))])
        made.append(Watcher(Recording(path), speed=speed, request_timeout=PATIENCE))
        return made[-1]

    yield make
    for watcher in made:
        watcher.close()
    assert not threads_left()
