"""What etcd v3 tells of a change, as an `Event`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from etcd_watcher.event import Event, EventType
from etcd_watcher.stores import wire
from etcd_watcher.stores.base import KeyValue
from etcd_watcher.stores.rpc import RpcError
from etcd_watcher.stores.v3_login import LOGIN_TRIES

if TYPE_CHECKING:
    from etcd_watcher.stores.v3_connection import Connection

__all__ = ["decode", "ended", "key_value", "mark_expired"]

LEASE_ANSWER = 1.0
"""Seconds we wait to learn whether a deleted key's lease still lives."""


def decode(changes: Iterable[Any], given: int, connection: Connection) -> list[Event]:
    """Decode the changes of one response.

    Parameters
    ----------
    changes : iterable of wire.Change
    given : int
        The newest revision that was given before: etcd before 3.4.24 repeats some.
    connection : Connection
        Where to ask whether a deleted key's lease has ended.
    """
    put, delete, no, new = EventType.PUT, EventType.DELETE, False, tuple.__new__
    events: list[Event] = []
    leases: set[int] = set()
    for change in changes:
        kv = change.kv
        revision = kv.mod_revision
        if revision <= given:
            continue
        before = change.prev_kv if change.HasField("prev_kv") else None
        prev = None if before is None else before.value
        if change.type == 0:
            key, value, created = kv.key, kv.value, kv.create_revision
            version, lease = kv.version, kv.lease
            fields = (put, key, value, prev, revision, created, version, lease, "put", no, no)
            events.append(new(Event, fields))
        else:
            lease = 0 if before is None else before.lease
            if lease:
                leases.add(lease)
            gone = (delete, kv.key, None, prev, revision, 0, 0, lease, "delete", no, no)
            events.append(new(Event, gone))
    return mark_expired(events, ended(leases, connection)) if leases else events


def ended(leases: Iterable[int], connection: Connection) -> set[int]:
    """Give those leases that have ended. They are asked for together: one round trip."""
    gone, left = set(), list(leases)
    for _ in range(LOGIN_TRIES):
        metadata = connection.metadata(LEASE_ANSWER)
        ask = partial(
            connection.calls["time_to_live"].begin, timeout=LEASE_ANSWER, metadata=metadata
        )
        calls = [(lease, ask(wire.LeaseTimeToLiveRequest(ID=lease))) for lease in left]
        left = []
        for lease, call in calls:
            try:
                if call.result().TTL < 0:
                    gone.add(lease)
            except RpcError as error:
                if "not found" in error.details:
                    gone.add(lease)
                elif connection.is_login_over(error, metadata):
                    left.append(lease)
    return gone


def mark_expired(events: list[Event], gone: set[int]) -> list[Event]:
    """Tell keys that went with their lease from keys deleted by hand, as v2 does by itself.

    etcd's v3 event does not say. A key deleted while its lease lives was deleted; a lease that is
    gone took its keys along.
    """
    return [
        event._replace(expired=True, action="expire")
        if event.raw_value is None and event.lease in gone
        else event
        for event in events
    ]


def key_value(kv: Any) -> KeyValue:
    """Give a key as it stands."""
    return KeyValue(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.version, kv.lease)
