"""A subscriber that falls behind when a test says so."""

from __future__ import annotations

import threading

from etcd_watcher import Event, Watcher
from tests.fake_store import PATIENCE, FakeStore


class Reader:
    """A subscriber that can be made to stand still."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.stands = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.until: int | None = None
        """A revision at which it stands once more."""
        self.stands_at_last = threading.Event()

    def __call__(self, event: Event) -> None:
        if event.revision == self.until:
            self.go_on.clear()
            self.stands_at_last.set()
        if not self.go_on.is_set():
            self.stands.set()
            self.go_on.wait(PATIENCE)
        self.told.append(event)

    @property
    def revisions(self) -> list[int]:
        return [each.revision for each in self.told]


def fall_behind(watcher: Watcher, store: FakeStore, reader: Reader, count: int) -> None:
    """Have a reader stand at one event while `count` more come."""
    reader.stands.clear()
    reader.go_on.clear()
    store.commit(("k", "first"))
    assert reader.stands.wait(PATIENCE)
    for number in range(count):
        store.commit(("k", str(number)))
    assert watcher._feed.wait_complete(store.now, PATIENCE)


def hold_history(store: FakeStore, reader: Reader) -> threading.Event:
    """Have a reader go on until it asks for history, and wait there for what is given."""
    goes_on, asked = threading.Event(), threading.Event()

    def ask() -> None:
        asked.set()
        goes_on.wait(PATIENCE)

    store.before("watch", ask)
    reader.go_on.set()
    assert asked.wait(PATIENCE)
    return goes_on
