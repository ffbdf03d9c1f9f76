"""A feed with all that it feeds: what the tests of this folder have in common."""

from __future__ import annotations

from collections.abc import Callable

from etcd_watcher.backoff import Backoff
from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.event import Gap, Status
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.router import Route
from etcd_watcher.stores.base import Batch
from tests.fake_store import PATIENCE, FakeStore, FakeWatch, event

A, B, C = (KeyRange.of_key(key) for key in (b"a", b"b", b"c"))

LOST = ConnectionFailed("the server went away")


class Core:
    """A feed with all that it feeds, and no subscriber."""

    def __init__(self, store: FakeStore, timeout: float = PATIENCE) -> None:
        self.store = store
        self.journal = Journal()
        self.pool = WorkerPool()
        self.demux = Demux(self.journal, self.pool)
        self.feed = Feed(
            store, self.demux, timeout, Backoff(len(store.endpoints), jitter=lambda: 1.0)
        )

    def cover(self, *scopes: KeyRange, timeout: float = PATIENCE) -> None:
        """Watch keys as the registry does."""
        revision = self.store.now
        with self.demux.lock:
            for scope in scopes:
                if self.demux.router.find(scope, prefix=False) is None:
                    self.demux.router.add(Route("", scope, prefix=False, start=revision))
        self.feed.cover(list(scopes), revision, timeout)

    def wait_until(self, condition: Callable[[], object], what: str = "a condition") -> None:
        """Wait for something that the feed tells of."""
        with self.feed._state:
            assert self.feed._state.wait_for(condition, PATIENCE), f"waited in vain for {what}"

    def wait_complete(self) -> None:
        assert self.feed.wait_complete(self.store.now, PATIENCE)

    def told(self) -> list[tuple[int, str, str | None]]:
        return [(each.revision, each.key, each.value) for each in self.journal.events()]

    def states(self) -> list[str]:
        return [each.state for each in self.journal if isinstance(each, Status)]

    def gaps(self) -> list[Gap]:
        return [each for each in self.journal if isinstance(each, Gap)]

    def close(self) -> None:
        self.feed.close(PATIENCE)
        self.store.close()
        self.pool.close(PATIENCE)
        thread = self.feed._readers.thread
        assert thread is None or not thread.is_alive()


def batch_of(watch: FakeWatch, *revisions: int, opened: bool = False) -> Batch:
    return Batch(watch.scope, [event(each, "a") for each in revisions], opened=opened)


def refuse_b(scope: KeyRange) -> BaseException | None:
    return RequestRejected("no permission for b") if b"b" in scope else None
