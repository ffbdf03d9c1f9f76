"""Callbacks that know on which thread they are called, and a look at who looks on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from etcd_watcher import Event, Watcher
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.mailbox import Mailbox
from tests.eventually import eventually
from tests.fake_store import PATIENCE

FEED, HELD_UP, WORKER = "etcd_watcher-feed", "etcd_watcher-held-up", "etcd_watcher-worker"


def pool_of(watcher: Watcher) -> WorkerPool:
    pool = watcher._demux.pool
    assert isinstance(pool, WorkerPool)
    return pool


class Callback:
    """Notes what it is told, and on which thread; and does what it was given to do, once."""

    def __init__(self, watcher: Watcher, key: str) -> None:
        self.watcher, self.key = watcher, key
        self.told: list[tuple[str, int]] = []
        self._changed = threading.Condition()
        self.once: Callable[[], object] | None = None
        self.go_on, self.ended = threading.Event(), threading.Event()
        watcher.on(key)(self)

    # What takes more than it gets may do anything: nobody vouches for another's code.
    def __call__(self, event: Event, *_: object) -> None:
        with self._changed:
            self.told.append((threading.current_thread().name, event.revision))
            self._changed.notify_all()
        once, self.once = self.once, None
        if once is not None:
            once()
            self.ended.set()

    def block(self) -> None:
        self.go_on.wait(3 * PATIENCE)

    def has(self, revision: int) -> bool:
        """Wait until it was told of a revision."""
        with self._changed:
            return self._changed.wait_for(lambda: revision in self.revisions, PATIENCE)

    def on(self, revision: int) -> str:
        """Wait until it was told of a revision; give the kind of thread."""
        assert self.has(revision)
        (thread,) = [thread for thread, each in self.told if each == revision]
        return WORKER if thread.startswith(WORKER) else thread

    @property
    def revisions(self) -> list[int]:
        return [revision for _, revision in self.told]

    @property
    def mailbox(self) -> Mailbox:
        found = self.watcher._registry.find_mailbox(self, closed=True)
        assert found is not None
        return found


class Kin(Callback):
    """One of many whose callback is the same."""

    def __call__(self, event: Event) -> None:  # type: ignore[override]  # takes less on purpose
        super().__call__(event)


class Make(Protocol):
    def __call__(self, key: str, kind: type[Callback] = ...) -> Callback: ...


def rest(watcher: Watcher) -> None:
    """Wait until all is told, and somebody looks on."""
    pool = pool_of(watcher)

    def is_at_rest() -> bool:
        with pool._work:
            return pool._looking and pool._turn is None and not pool._bundles

    assert eventually(is_at_rest)
