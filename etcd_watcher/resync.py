"""After a loss: what was lost, and what every watched key is worth now."""

from __future__ import annotations

from collections.abc import Iterable

from etcd_watcher.errors import Compacted, HistoryLost
from etcd_watcher.event import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Snapshot, Store
from etcd_watcher.stores.synthetic import deleted, told, written

__all__ = ["bridge", "differences", "resync"]


def resync(  # noqa: PLR0913, PLR0917 - what is known on both sides of a gap
    store: Store,
    scope: KeyRange,
    after: int,
    lost: HistoryLost,
    known: Iterable[bytes],
    timeout: float,
) -> tuple[Gap | None, list[Event], int]:
    """Read the state from which the stream can go on.

    Parameters
    ----------
    after : int
        The newest revision that was seen.
    lost : HistoryLost
        What the server said. `Compacted`: from its revision on it has everything. `HistoryReplaced`:
        it has begun anew, and nothing that was seen before counts.
    known : iterable of bytes
        The keys that are believed to exist, besides those that `lost` tells of.

    Returns
    -------
    gap : Gap or None
        The revisions that are lost for good.
    events : list of Event
        What leads from the state at `after` to that of the snapshot; see `bridge`.
    revision : int
        The snapshot's revision: the stream goes on behind it.
    """
    at = lost.revision or None if isinstance(lost, Compacted) else None
    snapshot = store.snapshot(scope, at, timeout)
    known = {*known, *(key for key, created in lost.living.items() if created <= after)}
    return *bridge(snapshot, after, lost, known), snapshot.revision


def bridge(
    snapshot: Snapshot, after: int, lost: HistoryLost, known: Iterable[bytes]
) -> tuple[Gap | None, list[Event]]:
    """Give the gap behind revision `after`, and the events that lead over it to a snapshot.

    They are synthetic. But where a single revision lies between, what differs is what it changed:
    then nothing is lost, and there is no gap.
    """
    if not isinstance(lost, Compacted):
        events = differences(snapshot, 0, known)
    else:
        events = differences(snapshot, after, known)
        if lost.revision == snapshot.revision == after + 1:
            return None, [told(event) for event in events]
        lost = Compacted(lost.revision)  # deletions made in that revision are among the events
    return Gap(after + 1, max(after + 1, snapshot.revision - 1), lost.reason), events


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
