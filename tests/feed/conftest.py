"""A store in memory stands in for etcd here, so that each fault comes at its exact moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etcd_watcher import backoff as backoff_module
from tests.fake_store import FakeStore
from tests.feed.core import Core


@pytest.fixture
def core(store: FakeStore) -> Iterator[Core]:
    core = Core(store)
    yield core
    core.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(backoff_module, "FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(backoff_module, "LAST_BACKOFF", 0.002)
