"""A watcher of all that a store in memory has."""

from __future__ import annotations

import pytest

from etcd_watcher import Watcher


@pytest.fixture
def watcher(watcher: Watcher) -> Watcher:
    watcher.add_key("", prefix=True)
    return watcher
