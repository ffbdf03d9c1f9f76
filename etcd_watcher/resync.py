"""After a loss: what was lost, and what every watched key is worth now."""

from __future__ import annotations

from collections.abc import Iterable

from etcd_watcher.errors import Compacted, HistoryReplaced
from etcd_watcher.event import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Snapshot, Store
from etcd_watcher.stores.synthetic import deleted, written

__all__ = ["differences", "gap_before", "resync"]


def resync(  # noqa: PLR0913, PLR0917 - what is known on both sides of a gap
    store: Store,
    scope: KeyRange,
    after: int,
    lost: Compacted | HistoryReplaced,
    known: Iterable[bytes],
    timeout: float,
) -> tuple[Gap, list[Event], int]:
    """Read the state from which the stream can go on.

    Parameters
    ----------
    after : int
        The newest revision that was seen.
    lost : Compacted or HistoryReplaced
        What the server said: from its revision on it has everything; or it has begun anew, and
        nothing that was seen before counts.
    known : iterable of bytes
        The keys that are believed to exist.

    Returns
    -------
    gap : Gap
        The revisions that are lost for good.
    events : list of Event
        Synthetic events that lead from the state at `after` to that of the snapshot.
    revision : int
        The snapshot's revision: the stream goes on behind it.
    """
    if isinstance(lost, Compacted):
        snapshot = store.snapshot(scope, lost.revision or None, timeout)
        events = differences(snapshot, after, known)
    else:
        snapshot = store.snapshot(scope, None, timeout)
        events = differences(snapshot, 0, known)
    return gap_before(snapshot, after, lost), events, snapshot.revision


def gap_before(snapshot: Snapshot, after: int, lost: Compacted | HistoryReplaced) -> Gap:
    """Name what is lost between what was seen last and the state that is there."""
    return Gap(after + 1, max(after + 1, snapshot.revision - 1), str(lost))


def differences(snapshot: Snapshot, after: int, known: Iterable[bytes]) -> list[Event]:
    """Give synthetic events for the keys that changed behind `after`, in revision order.

    A key that still exists tells when it changed. One that is gone does not, so its deletion bears
    the snapshot's revision.
    """
    changed = [item for item in snapshot.items if item.revision > after]
    there = {item.raw_key for item in snapshot.items}
    ordered = sorted(changed, key=lambda item: item.revision)
    puts = [written(item, item.revision, action="resync") for item in ordered]
    gone = sorted(key for key in known if key not in there)
    return puts + [deleted(key, snapshot.revision, action="resync") for key in gone]
