"""Events that no server told: they lead from one state of the keys to another."""

from __future__ import annotations

from etcd_watcher.event import Event, EventType
from etcd_watcher.stores.base import KeyValue

__all__ = ["deleted", "told", "written"]


def written(
    item: KeyValue, revision: int, *, action: str, raw_prev_value: bytes | None = None
) -> Event:
    """Give the event of a key that is there, as if it had been written at a revision."""
    return Event(
        type=EventType.PUT,
        raw_key=item.raw_key,
        raw_value=item.raw_value,
        raw_prev_value=raw_prev_value,
        revision=revision,
        created=item.created,
        version=item.version,
        lease=item.lease,
        action=action,
        expired=False,
        synthetic=True,
    )


def deleted(
    raw_key: bytes, revision: int, *, action: str, raw_prev_value: bytes | None = None
) -> Event:
    """Give the event of a key that is gone, as if it had been deleted at a revision."""
    return Event(
        type=EventType.DELETE,
        raw_key=raw_key,
        raw_value=None,
        raw_prev_value=raw_prev_value,
        revision=revision,
        created=0,
        version=0,
        lease=0,
        action=action,
        expired=False,
        synthetic=True,
    )


def told(event: Event) -> Event:
    """Give it as one that the server would have told: what it says is known to be so."""
    action = "delete" if event.raw_value is None else "put"
    return event._replace(action=action, synthetic=False)
