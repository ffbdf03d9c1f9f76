"""Watchers whose subscribers soon fall behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from etcd_watcher import Watcher
from tests.fake_store import FakeStore
from tests.lagging import lag_early


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    lag_early(monkeypatch)


@pytest.fixture
def opened(store: FakeStore) -> Iterator[Callable[..., Watcher]]:
    """Open watchers on the store, and close them in the end."""
    watchers: list[Watcher] = []

    def open_watcher(journal_events: int = 100_000) -> Watcher:
        watchers.append(Watcher(store, journal_events=journal_events))
        return watchers[-1]

    yield open_watcher
    for watcher in watchers:
        watcher.close()
