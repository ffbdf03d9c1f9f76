"""Whatever a server sends for a copy of its database: it ends soon, and everything is told once.

Each of these has the hash that it should have.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from etcd_watcher.event import Event
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import bbolt
from etcd_watcher.stores.bbolt import BRANCH, BUCKET, ENTRY, HEADER, IS_BRANCH, IS_LEAF, META
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_history import Segments
from tests.stores.v3_copies import alter_copies
from tests.stores.v3_past import ALL, TIMEOUT, mixed, told_by_a_watch, write

PAGE = 4096

BLOB = 32 * 1024

MIB = 1024 * 1024

Connect = Callable[..., V3Store]

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(scope="module")
def past() -> Iterator[LocalEtcd]:
    """A server with a long past, which nobody changes."""
    with LocalEtcd(version="3.5") as server:
        write(server, mixed(2500))
        yield server


@pytest.fixture(scope="module")
def truth(past: LocalEtcd) -> list[Event]:
    store = V3Store([past.url])
    store.connect(TIMEOUT)
    events = told_by_a_watch(store, ALL, 1, store.revision(TIMEOUT))
    store.close()
    return events


def forged(blobs: Iterable[bytes], forge: Callable[[bytearray], Any]) -> Iterator[bytes]:
    """Make something else of a copy that is whole."""
    *parts, _ = blobs
    content = bytearray(b"".join(parts))
    content = forge(content) or content
    for begin in range(0, len(content), BLOB):
        yield bytes(content[begin : begin + BLOB])
    yield hashlib.sha256(content).digest()


def root_of_keys(content: bytearray) -> int:
    """Give the page where the tree of revisions begins."""
    database = bbolt.Database(io.BytesIO(content))
    return int(BUCKET.unpack_from(database._buckets.get(b"key") or b"")[0])


def entries(content: bytearray, page: int, entry: struct.Struct) -> list[int]:
    """Give where each entry of a page is."""
    begin = page * PAGE
    count = HEADER.unpack_from(content, begin)[2]
    return [begin + HEADER.size + number * entry.size for number in range(count)]


def below(content: bytearray) -> list[int]:
    """Give where the numbers of the pages are that are below the root."""
    root = root_of_keys(content)
    return [each + BRANCH.size - 8 for each in entries(content, root, BRANCH)]


def leaf(content: bytearray, number: int) -> int:
    """Give the page of a leaf, counted from the left."""
    return int(struct.unpack_from("<Q", content, below(content)[number])[0])


def aim(content: bytearray, which: int, page: int) -> None:
    """Have a place below the root say that another page is there."""
    struct.pack_into("<Q", content, below(content)[which], page)


# What is wrong with them.


def bites_its_tail(content: bytearray) -> None:
    aim(content, 3, root_of_keys(content))


def bites_its_tail_at_once(content: bytearray) -> None:
    for which in range(len(below(content))):
        aim(content, which, root_of_keys(content))


def has_a_leaf_twice(content: bytearray) -> None:
    aim(content, 4, leaf(content, 3))


def has_leaves_in_another_order(content: bytearray) -> None:
    third, fourth = leaf(content, 3), leaf(content, 4)
    aim(content, 3, fourth)
    aim(content, 4, third)


def goes_on_behind_its_end(content: bytearray) -> None:
    aim(content, 3, 2**50)


def goes_on_far_behind_its_end(content: bytearray) -> None:
    aim(content, 3, 2**64 - 1)


def begins_elsewhere(content: bytearray) -> None:
    """The page is another one, so that what belongs there is not."""
    aim(content, 3, leaf(content, 9))


def has_a_giant_page(content: bytearray) -> None:
    struct.pack_into("<I", content, leaf(content, 3) * PAGE + HEADER.size - 4, 2**32 - 1)


def has_giant_keys(content: bytearray) -> None:
    for each in entries(content, leaf(content, 3), ENTRY):
        struct.pack_into("<I", content, each + 8, 2**32 - 1)


def has_giant_values(content: bytearray) -> None:
    for each in entries(content, leaf(content, 3), ENTRY):
        struct.pack_into("<I", content, each + 12, 2**32 - 1)


def has_more_keys_than_places(content: bytearray) -> None:
    struct.pack_into("<H", content, leaf(content, 3) * PAGE + 10, 2**16 - 1)


def has_no_keys(content: bytearray) -> None:
    struct.pack_into("<H", content, leaf(content, 0) * PAGE + 10, 0)


def has_a_leaf_less(content: bytearray) -> None:
    struct.pack_into("<H", content, leaf(content, 3) * PAGE + 10, 0)


def has_a_page_of_free_ones(content: bytearray) -> None:
    struct.pack_into("<H", content, leaf(content, 3) * PAGE + 8, 0x10)


def has_values_of_nothing(content: bytearray) -> None:
    begin = leaf(content, 3) * PAGE
    *_, last = entries(content, leaf(content, 3), ENTRY)
    content[last + ENTRY.size + 200 : begin + PAGE] = b"\xff" * (
        begin + PAGE - last - ENTRY.size - 200
    )


def is_a_lattice(content: bytearray) -> None:
    """Without a cycle, and yet there are 200 ** 40 ways from the root down to a leaf without keys."""
    content += bytes(-len(content) % PAGE)
    number = len(content) // PAGE
    aim(content, 3, number)
    for level in range(number, number + 40):
        content += HEADER.pack(level, IS_BRANCH, 200, 0)
        for left in range(200, 0, -1):
            content += BRANCH.pack(left * BRANCH.size, 9, level + 1)
        content += b"\xff" * 9
        content += bytes(-len(content) % PAGE)
    content += HEADER.pack(number + 40, IS_LEAF, 0, 0)
    content += bytes(-len(content) % PAGE)


def has_giant_pages_of_its_own(content: bytearray) -> None:
    for begin in (0, PAGE):
        struct.pack_into("<I", content, begin + HEADER.size + 8, 2**32 - 1)


def begins_behind_its_end(content: bytearray) -> None:
    for begin in (0, PAGE):
        struct.pack_into("<Q", content, begin + HEADER.size + META.size - 48, 2**63)


def is_zeros(_content: bytearray) -> bytes:
    return bytes(30 * MIB)


def is_nothing(_content: bytearray) -> bytearray:
    return bytearray(PAGE)


HOSTILE = [
    bites_its_tail,
    bites_its_tail_at_once,
    has_a_leaf_twice,
    has_leaves_in_another_order,
    goes_on_behind_its_end,
    goes_on_far_behind_its_end,
    begins_elsewhere,
    has_a_giant_page,
    has_giant_keys,
    has_giant_values,
    has_more_keys_than_places,
    has_no_keys,
    has_a_leaf_less,
    has_a_page_of_free_ones,
    has_values_of_nothing,
    is_a_lattice,
    has_giant_pages_of_its_own,
    begins_behind_its_end,
    is_zeros,
    is_nothing,
]


@pytest.mark.parametrize("forge", HOSTILE, ids=lambda each: each.__name__)
def test_everything_is_told_once_though_the_database(
    past: LocalEtcd,
    truth: list[Event],
    connect: Connect,
    ways: dict[type, int],
    monkeypatch: pytest.MonkeyPatch,
    forge: Callable[[bytearray], Any],
) -> None:
    alter_copies(monkeypatch, lambda blobs: forged(blobs, forge))
    store = connect(past)
    tracemalloc.start()
    try:
        told = [each for some in replay(store, ALL, 1, truth[-1].revision) for each in some]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told == truth
    assert ways[Segments]
    assert most < 150 * MIB
