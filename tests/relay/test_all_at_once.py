"""Turns that are taken all the time."""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Iterator

import pytest

from etcd_watcher import Event, Watcher, dispatch, relay
from etcd_watcher.stores.base import Batch
from tests.fake_store import PATIENCE, FakeStore, FakeWatch
from tests.relay.callbacks import FEED, WORKER, Callback


class Lingering(Callback):
    """Dawdles at some events, and notes where it was called before it had returned."""

    def __init__(self, watcher: Watcher, key: str, chance: random.Random) -> None:
        self._chance = chance
        self._inside = 0
        self.overlaps = 0
        super().__init__(watcher, key)

    def __call__(self, event: Event) -> None:  # type: ignore[override]  # one vouches for another
        self._inside += 1
        self.overlaps += self._inside != 1
        super().__call__(event)
        if self._chance.random() < 0.05:
            time.sleep(0.001)
        self._inside -= 1


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have Python switch between threads, and a lookout take the turn, as often as they can."""
    monkeypatch.setattr(dispatch, "PATIENCE", 0.0002)
    monkeypatch.setattr(dispatch, "HELD_UP", 0.0)
    monkeypatch.setattr(relay, "BARRED", 0.0)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("seed", range(3))
def test_with_turns_taken_all_the_time_each_is_told_once_in_order_and_one_reads(
    watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    inside, together, read = 0, 0, FakeWatch.read

    def alone(watch: FakeWatch) -> Batch:
        nonlocal inside, together
        inside += 1
        together = max(together, inside)
        try:
            return read(watch)
        finally:
            inside -= 1

    monkeypatch.setattr(FakeWatch, "read", alone)
    relieved, relieve = itertools.count(), watcher._demux.relieve
    assert relieve is not None
    monkeypatch.setattr(watcher._demux, "relieve", lambda: (next(relieved), relieve()))
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    callbacks = [Lingering(watcher, f"k{number}", chance) for number in range(5)]
    for number in range(400):
        store.commit(*[(each.key, "v") for each in callbacks])
        if number % 7 == 0:
            watcher.sync(PATIENCE)
            assert all(each.revisions[-1] == store.now for each in callbacks)
    watcher.sync(PATIENCE)
    for callback in callbacks:
        assert callback.revisions == list(range(2, store.now + 1))
        assert not callback.overlaps
    assert together == 1
    assert next(relieved) > 0
    assert len(store.watches) == 1


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("seed", range(3))
def test_with_newcomers_all_the_time_each_is_told_once_in_order_from_its_first_event_on(
    watcher: Watcher, store: FakeStore, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    callbacks = [Lingering(watcher, f"k{number}", chance) for number in range(100)]
    began: list[int] = []
    for _ in callbacks:
        began.append(store.now + 1)
        for _ in range(3):
            store.commit(*[(each.key, "v") for each in callbacks[: len(began)][-5:]])
        if chance.random() < 0.2:
            watcher.sync(PATIENCE)
            assert callbacks[len(began) - 1].revisions[-1] == store.now
    watcher.sync(PATIENCE)
    for callback, first in zip(callbacks, began, strict=True):
        assert callback.revisions == list(range(first, min(first + 15, store.now + 1)))
        assert not callback.overlaps
    assert any(callback.told[0][0] == FEED for callback in callbacks)
    assert any(callback.told[0][0].startswith(WORKER) for callback in callbacks)
