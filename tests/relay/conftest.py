"""Callbacks that a worker has called once, on a machine that is never busy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etcd_watcher import Watcher, dispatch
from etcd_watcher import mailbox as mailbox_module
from tests.eventually import eventually
from tests.fake_store import FakeStore
from tests.relay.callbacks import WORKER, Callback, Make, pool_of, rest


@pytest.fixture(autouse=True)
def a_busy_machine_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lookouts stay, and take no callback for slow because the machine is."""
    monkeypatch.setattr(dispatch, "LOOKS", 10**9)
    monkeypatch.setattr(mailbox_module, "SLOW", 1e9)


@pytest.fixture
def make(watcher: Watcher, store: FakeStore) -> Iterator[Make]:
    """Give callbacks that were called once, by a worker, which looks on now."""
    made: list[Callback] = []

    def make(key: str, kind: type[Callback] = Callback) -> Callback:
        made.append(kind(watcher, key))
        assert made[-1].on(store.commit((key, "first"))) == WORKER
        assert eventually(lambda: pool_of(watcher)._loan.part([made[-1].mailbox])[0])
        assert made[-1].has(store.commit((key, "second")))  # by a worker, if nobody looks on yet
        rest(watcher)
        return made[-1]

    yield make
    for each in made:
        each.go_on.set()
