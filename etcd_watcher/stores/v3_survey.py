"""What the keys of a range are worth: read page by page, while a watch of it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.event import EVENT_OVERHEAD, Event, EventType
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.rpc import RpcError
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_outbox import range_end

__all__ = ["Survey"]

PAGE_ANSWER = 1.0
"""Seconds that the server has for a page."""

FIRST_PAGE, MOST_ON_A_PAGE = 8, 512
"""Keys asked for at a time: at first, and at the most. For each page the server counts all that are
left."""

PAGE_BYTES = 256 * 1024
"""How large the next page should be, should its values be like those of the last one."""


class Survey:
    """Finds out what each key of a range is worth, with what a watch of it tells meanwhile.

    It is the watch's thread that looks whether there is another page, whenever it has told of
    something else. So nobody waits for it.

    Parameters
    ----------
    connection : Connection
        The watch's own: the member that told of a revision has it.
    scope : KeyRange
        What is watched.
    revision : int
        Up to where the watch has told everything; at this revision the range is read.
    most_keys, most_bytes : int
        It fails where there is more.
    """

    def __init__(
        self,
        connection: Connection,
        scope: KeyRange,
        revision: int,
        most_keys: int,
        most_bytes: int,
    ) -> None:
        self._connection, self._scope, self._revision = connection, scope, revision
        self._most_keys = min(most_keys, most_bytes // EVENT_OVERHEAD)
        self._most_bytes = most_bytes
        self.known: dict[bytes, Event] = {}
        """The newest change of each key: one that the watch has told, a deletion, too, or else what
        the key was at the survey's revision. Once it is complete there are no deletions in it."""
        self._told_size = 0
        """Bytes of what the watch has told, what was replaced since included."""
        self.keys = 0
        """How many keys there are in the range, once the server has said so."""
        self.complete = self.failed = False
        self._read = self._read_size = 0
        """How many keys were read, and their bytes."""
        self._limit = FIRST_PAGE
        self._call: Any = None
        self._ask(scope.start or b"\0")

    def take(self, events: Iterable[Event]) -> None:
        """Take what the watch has told next; then look for another page."""
        known, complete = self.known, self.complete
        for event in events:
            self._told_size += event.size
            if complete and event.raw_value is None:
                known.pop(event.raw_key, None)
            else:
                known[event.raw_key] = event
        if complete or self.failed:
            return
        if self._told_size > self._most_bytes:
            self.failed = True
        elif self._call.done():
            self._read_page()

    def _ask(self, start: bytes) -> None:
        request = wire.RangeRequest(
            key=start,
            range_end=range_end(self._scope),
            limit=self._limit,
            revision=self._revision,
            serializable=True,
        )
        try:
            metadata = self._connection.metadata(PAGE_ANSWER)
            ask = self._connection.calls["range"].begin
            self._call = ask(request, timeout=PAGE_ANSWER, metadata=metadata)
        except EtcdWatcherError:
            self.failed = True

    def _read_page(self) -> None:
        try:
            page = self._call.result()
        except RpcError:  # compacted, refused, late
            self.failed = True
            return
        known, put, no = self.known, EventType.PUT, False
        self.keys = self.keys or int(page.count)
        for kv in page.kvs:
            changed, created, lease = kv.mod_revision, kv.create_revision, kv.lease
            event = Event(
                put, kv.key, kv.value, None, changed, created, kv.version, lease, "put", no, no
            )
            known.setdefault(event.raw_key, event)
            self._read_size += event.size
        self._read += len(page.kvs)
        if self.keys > self._most_keys or self._is_too_large():
            self.failed = True
        elif page.more:
            self._limit = max(1, min(MOST_ON_A_PAGE, PAGE_BYTES * self._read // self._read_size))
            self._ask(page.kvs[-1].key + b"\0")
        else:
            for key in [each.raw_key for each in known.values() if each.raw_value is None]:
                del known[key]
            self.complete = True

    def _is_too_large(self) -> bool:
        """Tell whether it is too much to remember, or will be if all are like those read so far."""
        size = self._read_size
        if self._read > FIRST_PAGE:
            size = max(size, size * self.keys // self._read)
        return self._told_size + size > self._most_bytes
