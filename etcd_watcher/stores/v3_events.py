"""What etcd v3 tells of a change, as an `Event`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from etcd_watcher.event import Event, EventType
from etcd_watcher.stores import wire
from etcd_watcher.stores.base import KeyValue
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
    put, delete, new = EventType.PUT, EventType.DELETE, tuple.__new__
    events: list[Event] = []
    leases: set[int] = set()
    for change in changes:
        kv = change.kv
        revision = kv.mod_revision
        if revision <= given:
            continue
        prev = change.prev_kv if change.HasField("prev_kv") else None
        prev_value = None if prev is None else prev.value
        if change.type == 0:
            created, version, lease = kv.create_revision, kv.version, kv.lease
            fields = (put, kv.key, kv.value, prev_value, revision, created, version, lease)
            events.append(new(Event, (*fields, "put", False, False)))
        else:
            lease = 0 if prev is None else prev.lease
            if lease:
                leases.add(lease)
            fields = (delete, kv.key, None, prev_value, revision, 0, 0, lease)
            events.append(new(Event, (*fields, "delete", False, False)))
    return mark_expired(events, ended(leases, connection)) if leases else events


def ended(leases: Iterable[int], connection: Connection) -> set[int]:
    """Give those leases that have ended. They are asked for together: one round trip."""
    gone, left = set(), list(leases)
    for _ in range(LOGIN_TRIES):
        metadata = connection.metadata(LEASE_ANSWER)
        ask = partial(
            connection.calls["time_to_live"].future, timeout=LEASE_ANSWER, metadata=metadata
        )
        calls = [(lease, ask(wire.LeaseTimeToLiveRequest(ID=lease))) for lease in left]
        left = []
        for lease, call in calls:
            try:
                if call.result().TTL < 0:
                    gone.add(lease)
            except grpc.RpcError as error:
                if "not found" in (error.details() or ""):
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
