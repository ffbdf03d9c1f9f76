"""One level of the keyspace: the keys and folders right below a prefix, however much is in them.

etcd's keys are flat, and a store lists all that begin so. To find the folders of a large keyspace we
read a page, then leap behind the folder that the page ended in: a few requests for each folder,
whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from etcd_watcher.stores.base import KeyHead, KeyPage

__all__ = ["BEHIND", "Child", "Level", "child_of", "list_level"]

PAGE = 200
"""Keys that one request lists."""

BEHIND = b"\xff" * 64
"""Put behind a folder's name, it comes behind the keys in it, but for those that no one gives."""

List = Callable[[bytes, bytes | None, int], KeyPage]
"""Lists keys that begin so, behind a key, so many at the most."""


@dataclass(slots=True)
class Child:
    """What is right below a prefix.

    Attributes
    ----------
    raw : bytes
        A key; or what all keys of a folder begin with, up to the separator and with it.
    head : KeyHead or None
        The key's head; None for a folder.
    keys : int or None
        How many keys there are in a folder; None where the store does not count (v2).
    """

    raw: bytes
    head: KeyHead | None = None
    keys: int | None = None

    @property
    def folder(self) -> bool:
        return self.head is None


@dataclass(slots=True)
class Level:
    """What was found below a prefix.

    Attributes
    ----------
    revision : int
        The store's when the first page was read.
    more : bytes or None
        Where to go on; None where that was all.
    keys : int or None
        How many keys there are below the prefix, at any depth; None where nobody counted.
    """

    revision: int = 0
    children: list[Child] = field(default_factory=list)
    more: bytes | None = None
    keys: int | None = None


def child_of(key: bytes, prefix: bytes, separator: bytes) -> tuple[bytes, bool]:
    """Name the child of a prefix that a key is, or is in, and tell whether it is a folder."""
    end = key.find(separator, len(prefix)) if separator else -1
    return (key, False) if end < 0 else (key[: end + len(separator)], True)


def list_level(
    list_keys: List, prefix: bytes, separator: bytes, after: bytes | None, limit: int
) -> Level:
    """Find at most `limit` children of a prefix, behind `after`, with several requests if need be."""
    level = Level()
    cursor = after
    while True:
        page = list_keys(prefix, cursor, PAGE)
        if level.revision == 0:
            level.revision = page.revision
            level.keys = page.count if after is None else None
        for head in page.heads:
            raw, folder = child_of(head.raw_key, prefix, separator)
            if level.children and level.children[-1].raw == raw and folder:
                last = level.children[-1]
                last.keys = None if last.keys is None else last.keys + 1
                continue
            if len(level.children) == limit:
                last = level.children[-1]
                level.more = last.raw + BEHIND if last.folder else last.raw
                return level
            counted = None if page.count is None else 1
            level.children.append(Child(raw, None, counted) if folder else Child(raw, head))
        if page.after is None:
            return level
        last_child = level.children[-1] if level.children else None
        if last_child is None or not last_child.folder:
            cursor = page.after
            continue
        if page.count is not None:
            last_child.keys = list_keys(last_child.raw, None, 1).count
        behind = last_child.raw + BEHIND
        cursor = max(page.after, behind)
