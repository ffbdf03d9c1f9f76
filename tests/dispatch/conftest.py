"""A pool of workers that is gone at the end, and callbacks that are let go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.dispatch import WorkerPool
from tests.dispatch.boxes import Blocked, workers_of
from tests.fake_store import PATIENCE


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close(PATIENCE)
    assert workers_of(pool) == []


@pytest.fixture
def blocked() -> Iterator[Callable[[], Blocked]]:
    """Give callbacks that block; they are let go at the end, whatever happens."""
    made: list[Blocked] = []

    def make() -> Blocked:
        made.append(Blocked())
        return made[-1]

    yield make
    for each in made:
        each.go_on.set()


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mailboxes hold any number of events."""
    monkeypatch.setattr(mailbox_module, "MAILBOX_EVENTS", 10**9)
