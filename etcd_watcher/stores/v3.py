"""etcd's v3 API over gRPC: the store, and its unary calls. Its watch is in `v3_watch`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.base import KeyValue, Snapshot
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_watch import V3Watch

__all__ = ["V3Store"]

SNAPSHOT_PAGE = 10_000
"""Keys of a snapshot read at a time."""


class V3Store:
    """The v3 API of one etcd cluster, through one endpoint at a time.

    Parameters
    ----------
    endpoints : sequence of str
        URLs of the cluster's members, as `parse_endpoints` gives them.
    credentials : Credentials
        User and certificates.
    prev_values : bool
        Whether events bring the value before. It costs the server one read an event.
    """

    api = "v3"

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        credentials: Credentials | None = None,
        prev_values: bool = True,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.prev_values = prev_values
        self.version = ""
        self.fragment_next = False
        """Set by a watch that got a message over `MESSAGE_BOUND`: the next one asks for fragments.
        Never from the start: on a catch-up the server's fragmenting takes time squared in the
        number of events (200,000 came at 8,000/s instead of 280,000/s)."""
        self._credentials = credentials or Credentials()
        self._lock = threading.Lock()
        """Guards the four below."""
        self._index = 0
        self._connection: Connection | None = None
        self._closed = False
        self._readable = b"\0"
        """A key to ask for when only the revision is wanted: the last one that somebody was
        interested in, because our user may have no right to read others."""

    @property
    def endpoint(self) -> str:
        return self.endpoints[self._index]

    def connection(self) -> Connection:
        """Give the connection in use, opened where there is none."""
        with self._lock:
            if self._closed:
                raise StoreClosed("this store is closed")
            if self._connection is None:
                self._connection = Connection(self.endpoint, self._credentials)
            return self._connection

    def connect(self, timeout: float) -> None:
        """Find an endpoint that answers, within `timeout` seconds for all of them together."""
        reasons = []
        for _ in self.endpoints:
            try:
                status = self.connection().call(
                    "status", wire.StatusRequest(), timeout / len(self.endpoints)
                )
            except ConnectionFailed as error:
                reasons.append(f"{self.endpoint}: {error.reason}")
                self.rotate()
            else:
                self.version = status.version
                return
        raise ConnectionFailed.to(self.endpoints, "; ".join(reasons))

    @property
    def progress_is_barrier(self) -> bool:
        """Whether a progress reply comes after every event up to its revision.

        From 3.4.25 and 3.5.8 on it does; before, one in about 1,000 overtook an event under load.
        """
        try:
            parts = tuple(int(part) for part in self.version.split("-")[0].split("."))
        except ValueError:
            return False
        return parts >= (3, 5, 8) or (3, 4, 25) <= parts < (3, 5)

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        if not key and not prefix:
            raise ValueError('a key is empty: name one, or use prefix=True with "" for all keys')
        scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
        self._readable = scope.start or b"\0"
        return scope

    def revision(self, timeout: float) -> int:
        request = wire.RangeRequest(key=self._readable, count_only=True)
        return int(self.connection().call("range", request, timeout).header.revision)

    def newest_in(self, scope: KeyRange, timeout: float) -> tuple[int, int]:
        """Give the newest revision of the live keys in `scope`, and that of the store."""
        request = wire.RangeRequest(
            key=scope.start or b"\0",
            range_end=range_end(scope),
            limit=1,
            sort_order=2,
            sort_target=3,
            keys_only=True,
        )
        reply = self.connection().call("range", request, timeout)
        newest = max((kv.mod_revision for kv in reply.kvs), default=0)
        return newest, int(reply.header.revision)

    def get(self, key: bytes, timeout: float) -> KeyValue | None:
        reply = self.connection().call("range", wire.RangeRequest(key=key), timeout)
        return _key_value(reply.kvs[0]) if reply.kvs else None

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:
        connection = self.connection()
        lease = 0
        if ttl is not None:
            lease = connection.call("grant", wire.LeaseGrantRequest(TTL=ttl), timeout).ID
        request = wire.PutRequest(key=key, value=value, lease=lease)
        return int(connection.call("put", request, timeout).header.revision)

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:
        scope = self.key_range(key, prefix=prefix)
        request = wire.DeleteRangeRequest(
            key=scope.start or b"\0", range_end=range_end(scope) if prefix else b""
        )
        return int(self.connection().call("delete", request, timeout).deleted)

    def has_lease(self, lease: int, timeout: float) -> bool:
        """Tell whether a lease still lives."""
        request = wire.LeaseTimeToLiveRequest(ID=lease)
        return int(self.connection().call("time_to_live", request, timeout).TTL) >= 0

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:
        # A large read would starve the watch on its connection, so it gets its own.
        connection = Connection(self.endpoint, self._credentials)
        items: list[KeyValue] = []
        revision, start = at or 0, scope.start or b"\0"
        try:
            while True:
                request = wire.RangeRequest(
                    key=start, range_end=range_end(scope), limit=SNAPSHOT_PAGE, revision=revision
                )
                reply = connection.call("range", request, timeout)
                revision = revision or int(reply.header.revision)
                items.extend(map(_key_value, reply.kvs))
                if not reply.more:
                    return Snapshot(revision, items)
                start = items[-1].raw_key + b"\0"
        finally:
            connection.close()

    def watch(self, scope: KeyRange, after: int) -> V3Watch:
        fragment, self.fragment_next = self.fragment_next, False
        return V3Watch(self, self.connection(), scope, after, fragment=fragment)

    def rotate(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            self._index = (self._index + 1) % len(self.endpoints)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def range_end(scope: KeyRange) -> bytes:
    """Give a range's end as etcd writes it: a single NUL for "no end"."""
    return b"\0" if scope.end is None else scope.end


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.version, kv.lease)
