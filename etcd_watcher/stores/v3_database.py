"""The past read from a copy of a member's database, where that is small enough for it to pay.

etcd keeps every change since the last compaction, each under its revision, in a database of bbolt,
and gives a copy of it to whoever asks: `etcdctl snapshot save` is made of that. Reading one is
unlike any watch. The server finds nothing out for us: it sends a file, as fast as it can, and takes
no lock for it that a put or a watch waits for. 100,000 puts are 9 MB, which come in 0.05 s, where
the fastest way by watches takes 0.6 s, and one watch 10 s. And it is of one moment: no compaction
can come in between.

What it costs: all of the database goes over the wire, whatever keys we want. So it is for a long
past in a database that is not much larger. It is written to a file without a name, which goes with
us, and read page by page. The server gives it to a user with the role root, or where it has no
users.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from etcd_watcher.errors import EtcdWatcherError, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.log import logger
from etcd_watcher.stores import bbolt, wire
from etcd_watcher.stores.rpc import ChannelClosed, RpcError
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_response import Whole
from etcd_watcher.stores.v3_rows import KEY, Row, stored_rows
from etcd_watcher.stores.v3_segments import Piece

__all__ = ["COPY_BYTES", "DatabaseCopy", "Room"]

COPY_BYTES = 512 * 1024 * 1024
"""How many bytes copies may have, together."""

SMALL = 32 * 1024 * 1024
"""Bytes of a database that is worth a copy for any long past: 0.3 s on a network of 1 Gbit/s."""

BYTES_A_REVISION = 1024
"""Of a larger one, for each revision that is wanted: a watch has to read about as much."""

ANSWER = 1.0
"""Seconds for the small requests before."""

PROBATION = 0.25
"""Seconds after which it has to be clear that the copy will come in time."""

PART_BYTES = 64 * 1024
"""Bytes of changes given at a time: some 1,000 with small values."""

MAIN = 8
"""Bytes of a key in the database that are the revision; "_" and the place within it follow."""

FIRST_OF_IT = b"_" + bytes(8)
"""What follows then in the key of the first change of a revision."""

TOMBSTONE = 18
"""Bytes of a key that tells of a deletion: it ends with a "t"."""

BLANK = bytes([0x10, 0, 0x20, 0, 0x2A, 0])
"""Fields 2, 4 and 5 with nothing in them, written out: among puts, a deletion without them would not
be read together with these (see `v3_rows`)."""


class Room:
    """How many bytes copies have that are read at present, all of one store together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0

    @contextmanager
    def take(self, size: int, most: int) -> Iterator[bool]:
        """Take so many bytes for a while, where no more than `most` are taken then; tell whether."""
        with self._lock:
            fits = self.taken + size <= most
            self.taken += fits * size
        try:
            yield fits
        finally:
            with self._lock:
                self.taken -= fits * size


class DatabaseCopy:
    """Reads the changes of one range from a copy of a member's database.

    Like `Segments` it is right in what it tells, and complete up to where it ends. It ends at once,
    with nothing, where a copy does not pay, is not given, or does not come in time.

    Parameters
    ----------
    first, last : int
        The revisions to tell.
    most : int
        How many bytes copies may have, with others that are read at the same time.
    room : Room
        Where these are counted.
    """

    def __init__(  # noqa: PLR0913 - what is read, and what it may cost
        self,
        connection: Connection,
        scope: KeyRange,
        first: int,
        last: int,
        *,
        most: int,
        room: Room,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._first, self._last = first, last
        self._most, self._room = most, room
        self._worth = max(SMALL, BYTES_A_REVISION * (last - first + 1))
        """How large the database may be for the copy to pay."""
        self._patience = 1.0 + (last - first) / 50_000
        """Seconds that it may take to come: several times what watches would."""
        self.reached = first - 1
        """The revision up to which `pieces` has given everything."""
        self._closed = False
        self._call: Any = None

    def close(self) -> None:
        """End it, from any thread."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    def pieces(self) -> Iterator[tuple[Piece, int]]:
        """Give the changes in order, each piece with the revision behind which it is news.

        Raises
        ------
        StoreClosed
        """
        try:
            size = self._size()
            with self._room.take(size, self._most) as fits:
                if fits and size <= self._worth:
                    with tempfile.TemporaryFile(buffering=0) as file:
                        if self._fetch(file, size):
                            yield from self._read(bbolt.Database(file))
        except (OSError, EtcdWatcherError, bbolt.BadDatabase, struct.error, DecodeError) as error:
            # Whoever reads the rest by watches is told by the server what there is to tell.
            logger.debug("no copy of the database of %s: %s", self._connection.endpoint, error)
        if self._closed:
            raise StoreClosed("this history is closed")

    def _size(self) -> int:
        """Give how large the database is, in bytes."""
        return int(self._connection.call("status", wire.StatusRequest(), ANSWER).size)

    def _fetch(self, file: BinaryIO, size: int) -> bool:
        """Write a copy of the database to a file; False where there is no whole one in time."""
        connection = self._connection
        metadata = connection.metadata(ANSWER)
        try:
            self._call = call = connection.database.begin(
                wire.SnapshotRequest(), timeout=self._patience, metadata=metadata
            )
            if self._closed:
                return False
            return self._save(call, file, size)
        except RpcError as error:
            raise connection.explain(error) from error
        except ChannelClosed as error:
            raise StoreClosed("this history is closed") from error

    def _save(self, call: Any, file: BinaryIO, expected: int) -> bool:
        """Write what comes; the last message is the hash of all those before it."""
        began = time.monotonic()
        come, digest, last = 0, hashlib.sha256(), b""
        for response in call:
            if file.write(last) < len(last):  # so a disk begins to be full, without an error
                call.cancel()
                return False
            digest.update(last)
            last = response.blob
            come += len(last)
            took = time.monotonic() - began
            left = max(0, expected - come)
            late = took > PROBATION and took * left > come * (self._patience - took)
            # The size it tells is 0.1 s old.
            if late or come > max(SMALL, 2 * expected):
                call.cancel()
                return False
        return digest.digest() == last

    def _read(self, database: bbolt.Database) -> Iterator[tuple[Piece, int]]:
        if self._first <= _compacted(database):
            return
        keys: list[bytes] = []
        values: list[bytes] = []
        size = 0
        for more_keys, more_values in self._wanted(database):
            keys += more_keys
            values += more_values
            size += sum(map(len, more_values))
            if size > PART_BYTES:
                # The last transaction of a leaf may go on in the next one.
                cut = bisect_left(keys, keys[-1][:MAIN])
                if cut:
                    yield self._piece(keys[:cut], values[:cut])
                    del keys[:cut], values[:cut]
                    size = 0
        if keys:
            yield self._piece(keys, values)

    def _wanted(
        self, database: bbolt.Database
    ) -> Iterator[tuple[Sequence[bytes], Sequence[bytes]]]:
        """Give the keys and values with revisions that are wanted, leaf by leaf."""
        first, behind = _main(self._first), _main(self._last + 1)
        newest = b""
        for keys, values in database.bucket(b"key").leaves(first):
            # 0.03 us for each; out of order, changes would be told twice, or not at all.
            if keys and (keys[0] <= newest or list(keys) != sorted(keys)):
                raise bbolt.BadDatabase("keys out of order")
            newest = keys[-1] if keys else newest
            begin, end = bisect_left(keys, first), bisect_left(keys, behind)
            if begin < end and not self._closed:
                yield keys[begin:end], values[begin:end]
            if end < len(keys):
                return

    def _piece(self, keys: list[bytes], values: list[bytes]) -> tuple[Piece, int]:
        """Give what there is up to a revision."""
        after, end = self.reached, _revision(keys[-1])
        # Each has a change, but for the very first, that of no change: 0.02 us a change to know.
        if b"".join(keys).count(FIRST_OF_IT) != end - max(after, 1):
            raise bbolt.BadDatabase(f"revisions are missing between {after} and {end}")
        # Read at once: a damaged one is given up here.
        changes = self._in_scope(stored_rows(_complete(keys, values)))
        self.reached = end
        return Piece(after + 1, end, Whole(changes, sum(map(len, values)))), after

    def _in_scope(self, rows: Iterable[Row]) -> list[Row]:
        start, end = self._scope.start, self._scope.end
        if end is None:
            return [row for row in rows if start <= row[KEY]]
        return [row for row in rows if start <= row[KEY] < end]


def _complete(keys: list[bytes], values: list[bytes]) -> list[bytes]:
    """Give the values, those of deletions with what the database has not."""
    if max(map(len, keys)) < TOMBSTONE:
        return values
    return [
        value if len(key) < TOMBSTONE else value + _lacking(_revision(key))
        for key, value in zip(keys, values, strict=True)
    ]


def _lacking(revision: int) -> bytes:
    """Give what is to follow the key of a deletion, for a whole `wire.KeyValue`."""
    return bytes(wire.KeyValue(mod_revision=revision).SerializeToString()) + BLANK


def _compacted(database: bbolt.Database) -> int:
    """Give the revision up to which changes may be gone."""
    revision = database.bucket(b"meta").get(b"scheduledCompactRev")
    return 0 if revision is None else _revision(revision)


def _main(revision: int) -> bytes:
    """Give what the keys of a revision begin with."""
    return revision.to_bytes(MAIN, "big")


def _revision(key: bytes) -> int:
    return int.from_bytes(key[:MAIN], "big")
