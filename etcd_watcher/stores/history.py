"""Events of the past, from a store's own history: up to a revision, in order, exactly once."""

from __future__ import annotations

from collections.abc import Iterator

from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Store

__all__ = ["replay"]


def replay(store: Store, scope: KeyRange, first: int, last: int) -> Iterator[list[Event]]:
    """Give the events of `scope` with revisions `first` to `last`, in whole transactions.

    It opens a watch of its own in the past, and ends once that watch has told everything up to
    `last`, a revision that the store has already given out.

    Raises
    ------
    Compacted
        The store no longer has `first`.
    ConnectionFailed, StoreClosed, RequestRejected
        As `Watch.read`; begin again behind the last events given.
    """
    watch = store.watch(scope, first - 1)
    try:
        watch.probe(last)
        reached = first - 1
        while reached < last:
            batch = watch.read()
            reached = max(reached, batch.complete)
            if batch.events:
                reached = max(reached, batch.events[-1].revision)
                events = [event for event in batch.events if event.revision <= last]
                if events:
                    yield events
    finally:
        watch.close()
