"""Reading a database file of bbolt, etcd's storage: buckets of keys in order, in pages of a B+ tree.

A page has a header, an entry for each of its keys, and behind these the keys and values that the
entries point to. Two of the first pages say where the tree of buckets begins; the one with the newer
transaction counts. All numbers are in the byte order of the machine that wrote the file, of which we
know little-endian ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from os import SEEK_END
from typing import BinaryIO

__all__ = ["BadDatabase", "Bucket", "Database"]

MAGIC = 0xED0CDAED
VERSION = 2

HEADER = struct.Struct("<QHHI")
"""Of a page: its number, its kind, how many entries it has, and how many pages more it takes."""

META = struct.Struct("<IIIIQQQQQQ")
"""Behind the header of the first two pages: magic number, version, size of a page, flags, where the
tree of buckets begins, its sequence, where free pages are listed, how many pages there are, the
transaction, and a checksum."""

ENTRY = struct.Struct("<IIII")
"""Of a leaf: flags, where the key is, counted from the entry, and how long key and value are."""

BRANCH = struct.Struct("<IIQ")
"""Of a page above leaves: where the least key below it is, how long that is, and the page."""

BUCKET = struct.Struct("<QQ")
"""What a bucket has for a value: its first page, and a sequence."""

IS_BRANCH, IS_LEAF = 1, 2

DEEPEST = 64
"""Pages from a root down to a leaf: in fact fewer than ten."""


class BadDatabase(ValueError):
    """It is no database of bbolt, or not whole."""


class Database:
    """A database file, open for reading.

    Parameters
    ----------
    file : binary file
        It is read from wherever the pages are, some at a time.

    Attributes
    ----------
    size : int
        Bytes of the file.

    Raises
    ------
    BadDatabase
        Here, and from whatever else reads it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, SEEK_END)
        _, size, _ = self._meta(0)
        self.page_size = size
        _, _, root = max(self._meta(0), self._meta(size))
        self._buckets = Bucket(self, self.page(root))

    def _meta(self, position: int) -> tuple[int, int, int]:
        """Give the transaction of one of the first two pages, a page's size, and where to begin."""
        page = self._read(position, HEADER.size + META.size)
        magic, version, size, _, root, _, _, _, transaction, _ = META.unpack_from(page, HEADER.size)
        if (magic, version) != (MAGIC, VERSION) or size < len(page):
            raise BadDatabase("no database of bbolt")
        return transaction, size, root

    def _read(self, position: int, size: int) -> bytes:
        # Before it is read: whoever damaged the file may have us ask for more memory than there is.
        if position + size > self.size:
            raise BadDatabase(f"it ends at {self.size}")
        self._file.seek(position)
        content = self._file.read(size)
        if len(content) < size:
            raise BadDatabase(f"it ends at {position + len(content)}")
        return content

    def page(self, number: int) -> bytes:
        """Give a page, with those that it takes more."""
        size = self.page_size
        page = self._read(number * size, size)
        its_number, _, _, more = HEADER.unpack_from(page)
        if its_number != number:
            raise BadDatabase(f"page {its_number} where page {number} belongs")
        return page + self._read((number + 1) * size, more * size) if more else page

    def bucket(self, name: bytes) -> Bucket:
        """Give the bucket of this name."""
        content = self._buckets.get(name)
        if content is None:
            raise BadDatabase(f"no bucket {name!r}")
        root, _ = BUCKET.unpack_from(content)
        # A small one is where others have the number of its first page.
        return Bucket(self, self.page(root) if root else content[BUCKET.size :])


class Bucket:
    """The keys and values of one bucket, in the order of the keys."""

    def __init__(self, database: Database, root: bytes) -> None:
        self._database = database
        self._root = root

    def get(self, key: bytes) -> bytes | None:
        """Give the value of a key; None where there is none."""
        for keys, values in self.leaves(key):
            if keys and keys[-1] >= key:
                return values[keys.index(key)] if key in keys else None
        return None

    def leaves(self, start: bytes) -> Iterator[tuple[Sequence[bytes], Sequence[bytes]]]:
        """Give the keys and the values of each leaf, from the one on where `start` belongs."""
        way = [iter([self._root])]
        left = self._database.size
        while way:
            page = next(way[-1], None)
            if page is None:
                way.pop()
                continue
            left -= len(page)
            if left < 0:  # some are there again and again: that need not end
                raise BadDatabase("a tree of more pages than there are")
            kind, count = HEADER.unpack_from(page)[1:3]
            if kind & IS_LEAF:
                yield _leaf(page, count)
            elif kind & IS_BRANCH and len(way) < DEEPEST:
                way.append(map(self._database.page, _below(page, count, start)))
            else:
                raise BadDatabase(f"a page of kind {kind}")


def _leaf(page: bytes, count: int) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Give the keys and the values of a leaf.

    bbolt writes them one behind the other, in the order of their entries, so that all are cut out
    at once: 0.1 us for a key and its value, where one by one take 0.25 us.
    """
    if not count:
        return (), ()
    numbers = _numbers(4 * count).unpack(_entries(page, count))
    sizes = [0] * (2 * count)
    sizes[::2], sizes[1::2] = numbers[2::4], numbers[3::4]
    size_of_entries = count * ENTRY.size
    begin, end = HEADER.size + size_of_entries, HEADER.size + size_of_entries + sum(sizes)
    first = HEADER.size + numbers[1]
    last = begin - ENTRY.size + numbers[-3]
    if (first, last) != (begin, end - sizes[-2] - sizes[-1]) or end > len(page):
        raise BadDatabase("a page whose keys are not where they belong")
    pieces = _pieces(tuple(sizes)).unpack_from(page, begin)
    return pieces[::2], pieces[1::2]


@lru_cache(maxsize=64)
def _numbers(count: int) -> struct.Struct:
    """Give what reads so many numbers."""
    return struct.Struct(f"<{count}I")


@lru_cache(maxsize=64)
def _pieces(sizes: tuple[int, ...]) -> struct.Struct:
    """Give what cuts pieces of these sizes. Neighbouring leaves often have the same ones."""
    return struct.Struct("<" + "%ds" * len(sizes) % sizes)


def _below(page: bytes, count: int, start: bytes) -> list[int]:
    """Give the pages below a branch, from the one on where a key belongs."""
    below: list[int] = []
    entry = HEADER.size
    for position, size, number in BRANCH.iter_unpack(_entries(page, count)):
        begin = entry + position
        # No more of it than tells: a damaged one may be as long as the page, for each entry.
        if page[begin : begin + min(size, len(start) + 1)] <= start:
            below.clear()
        below.append(number)
        entry += BRANCH.size
    return below


def _entries(page: bytes, count: int) -> bytes:
    entries = page[HEADER.size : HEADER.size + count * ENTRY.size]
    if len(entries) < count * ENTRY.size:
        raise BadDatabase("a page without its entries")
    return entries
