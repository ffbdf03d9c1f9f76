"""Histories for tests: written fast, by many requests at a time, on a connection of their own."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from etcd_watcher.endpoints import Credentials
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalCluster, LocalEtcd
from etcd_watcher.stores import wire
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection

TIMEOUT = 30.0
IN_FLIGHT = 100

ALL = KeyRange.of_prefix(b"")
DENSE = KeyRange.of_prefix(b"dense/")
RARE = KeyRange.of_prefix(b"rare/")
ONE = KeyRange.of_key(b"dense/7")
NOTHING = KeyRange.of_prefix(b"nobody/")

Operation = tuple[bytes, bytes | None]
"""A key and its new value; None deletes it."""


def write(
    server: LocalEtcd | LocalCluster, transactions: Iterable[list[Operation]], lease: int = 0
) -> int:
    """Commit transactions, each at a revision of its own, and give the revision of the last.

    Those that are on their way together may be committed in any order.
    """
    connection = Connection(server.url, Credentials())
    under_way: deque[Any] = deque()
    revision = 0
    try:
        for operations in transactions:
            request = wire.TxnRequest(success=[_operation(*each, lease) for each in operations])
            under_way.append(connection.calls["txn"].begin(request, timeout=TIMEOUT))
            if len(under_way) == IN_FLIGHT:
                revision = max(revision, under_way.popleft().result().header.revision)
        return int(max(revision, *(each.result().header.revision for each in under_way)))
    finally:
        connection.close()


def _operation(key: bytes, value: bytes | None, lease: int) -> Any:
    if value is None:
        return wire.RequestOp(delete=wire.DeleteRangeRequest(key=key))
    return wire.RequestOp(put=wire.PutRequest(key=key, value=value, lease=lease))


def mixed(count: int, seed: int = 1) -> Iterator[list[Operation]]:
    """Give transactions over a few hundred keys: puts, deletions, and up to 128 keys in one."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for number in range(count):
        where = chance.choices(["dense/", "rare/", "other/"], [90, 1, 9])[0]
        size = chance.choices([1, 3, 128], [97, 2, 1])[0]
        keys = chance.sample(range(300), size)
        yield [
            (
                f"{where}{key}".encode(),
                None if chance.random() < 0.2 else f"{number}-{key}".encode(),
            )
            for key in keys
        ]


def compact(server: LocalEtcd, revision: int) -> None:
    """Have a server forget what was before a revision, and wait until it has."""
    connection = Connection(server.url, Credentials())
    try:
        call = connection.channel.method("/etcdserverpb.KV/Compact", bytes)
        # CompactionRequest: revision = 1, as a varint; physical = 2, which is to wait.
        number, encoded = revision, bytearray(b"\x08")
        while number > 0x7F:
            encoded.append(number & 0x7F | 0x80)
            number >>= 7
        encoded.append(number)
        encoded += b"\x10\x01"
        call(bytes(encoded), timeout=TIMEOUT)
    finally:
        connection.close()


def told_by_a_watch(store: V3Store, scope: KeyRange, first: int, last: int) -> list[Event]:
    """Give what one ordinary watch tells."""
    events: list[Event] = []
    watch = store.watch(scope, first - 1)
    try:
        watch.probe(last)
        complete = first - 1
        while complete < last:
            batch = watch.read()
            events += batch.events
            complete = max(batch.complete, events[-1].revision if events else 0)
    finally:
        watch.close()
    return [each for each in events if each.revision <= last]


@lru_cache(maxsize=16)
def truth_of(past: LocalEtcd, scope: KeyRange, first: int, last: int) -> list[Event]:
    """Give the same of a server that nobody changes: it takes seconds, and here only once."""
    store = V3Store([past.url])
    try:
        store.connect(TIMEOUT)
        return told_by_a_watch(store, scope, first, last)
    finally:
        store.close()
