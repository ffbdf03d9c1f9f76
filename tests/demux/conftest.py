"""A demux with a journal, and a pool that is gone at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.journal import Journal


@pytest.fixture
def demux() -> Iterator[Demux]:
    pool = WorkerPool()
    yield Demux(Journal(), pool)
    pool.close()
