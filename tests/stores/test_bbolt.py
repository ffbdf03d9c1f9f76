"""What etcd has in its database, read from the file itself."""

from __future__ import annotations

import io
import struct

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import bbolt, wire
from etcd_watcher.stores.bbolt import BadDatabase, Database
from etcd_watcher.stores.v3_connection import Connection
from tests.stores.v3_past import write

PUTS = 2000
"""So many that a tree has leaves below a branch."""

PAGE = 4096


@pytest.fixture(scope="module", params=["3.4", "3.5"])
def content(request: pytest.FixtureRequest) -> bytes:
    """The database of a server."""
    with LocalEtcd(version=request.param) as server:
        write(server, ([(b"key", str(number).encode())] for number in range(PUTS)))
        write(server, [[(b"key", b"v" * 20_000)]])
        write(server, [[(b"key", None)]])
        connection = Connection(server.url, Credentials())
        *blobs, _ = [each.blob for each in connection.database.begin(wire.SnapshotRequest())]
        connection.close()
    return b"".join(blobs)


def read(content: bytes) -> Database:
    return Database(io.BytesIO(content))


def test_every_revision_is_there_in_order(content: bytes) -> None:
    leaves = list(read(content).bucket(b"key").leaves(b""))
    keys = [key for some, _ in leaves for key in some]
    values = [value for _, some in leaves for value in some]
    assert len(keys) == len(values) == PUTS + 2
    assert len(leaves) > 10
    assert [int.from_bytes(key[:8], "big") for key in keys] == list(range(2, PUTS + 4))
    assert [len(key) for key in keys] == [17] * (PUTS + 1) + [18]
    assert len(values[-2]) > 20_000
    assert b"v" * 20_000 in values[-2]


@pytest.mark.parametrize("revision", [1, 2, 3, 100, PUTS, PUTS + 3])
def test_it_can_be_read_from_anywhere(content: bytes, revision: int) -> None:
    start = revision.to_bytes(8, "big")
    bucket = read(content).bucket(b"key")
    leaves = list(bucket.leaves(start))
    assert leaves[0][0][0] <= max(start, (3).to_bytes(8, "big"))
    found = [key for some, _ in leaves for key in some if key >= start]
    assert len(found) == min(PUTS + 2, PUTS + 4 - revision)


def test_a_small_bucket_is_within_another_page(content: bytes) -> None:
    members = read(content).bucket(b"members")
    (keys, values), *_ = members.leaves(b"")
    assert len(keys) == 1
    assert members.get(keys[0]) == values[0]
    assert b"peerURLs" in values[0]


def test_a_key_that_is_not_there(content: bytes) -> None:
    database = read(content)
    meta = database.bucket(b"meta")
    assert meta.get(b"consistent_index")
    assert [meta.get(key) for key in (b"", b"nothing", b"zzz")] == [None] * 3
    with pytest.raises(BadDatabase, match="no bucket"):
        database.bucket(b"nothing")


@pytest.mark.parametrize("page", [0, 1])
def test_the_newer_of_two_beginnings_counts(content: bytes, page: int) -> None:
    """A crash while one of them was written leaves the other."""
    at = bbolt.HEADER.size + 48 + page * PAGE
    older = bytearray(content)
    struct.pack_into("<Q", older, at, 2**40)
    (root,) = struct.unpack_from("<Q", older, at - 32)
    assert read(bytes(older))._buckets._root == read(bytes(older)).page(root)


@pytest.mark.parametrize("size", [0, 1, 79, 80, PAGE, 3 * PAGE])
def test_a_file_that_ends_early(content: bytes, size: int) -> None:
    with pytest.raises(BadDatabase):
        list(read(content[:size]).bucket(b"key").leaves(b""))


@pytest.mark.parametrize("size", [PAGE, 100 * PAGE])
@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"a"])
def test_a_file_of_something_else(size: int, byte: bytes) -> None:
    with pytest.raises(BadDatabase, match="no database"):
        read(byte * size)


def test_a_tree_that_bites_its_tail(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a file says, reading it ends."""
    database = read(content)
    root = database.bucket(b"key")._root
    assert bbolt.HEADER.unpack_from(root)[1] == bbolt.IS_BRANCH
    monkeypatch.setattr(database, "page", lambda _: root)
    with pytest.raises(BadDatabase, match=r"more pages than there are|a page of kind"):
        list(bbolt.Bucket(database, root).leaves(b""))
