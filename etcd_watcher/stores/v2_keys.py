"""Keys of etcd v2: paths of text, and what to poll for a range of them."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

from etcd_watcher.keys import KeyRange, to_text

__all__ = [
    "NO_KEY",
    "Place",
    "canonical",
    "checked_value",
    "is_hidden",
    "place_of",
    "quote",
    "tree_range",
]

LONGEST = 3_900
"""Bytes of a quoted key. etcd cuts a connection whose first line is longer than 4,096 bytes."""

NO_KEY = b"/_etcd_watcher"
"""What no directory has: asking for it tells the index and brings nothing else."""


def canonical(key: bytes, *, prefix: bool) -> bytes:
    """Give a key as the server names it: `nokia`, `/nokia` and `//nokia/` are `/nokia`.

    A prefix names a directory and comes without a slash at its end, the root as b"".

    Raises
    ------
    ValueError
        For a key that v2 cannot have.
    """
    shown = repr(to_text(key))
    parts = [part for part in key.split(b"/") if part]
    if not parts and not prefix:
        if not key:
            raise ValueError('an empty key: give a name such as "nokia"')
        raise ValueError(f"{shown} is the root directory, not a key: watch it with prefix=True")
    if b"." in parts or b".." in parts:
        raise ValueError(f"{shown} has a part '.' or '..': etcd's v2 API has no key of that name")
    path = b"".join(b"/" + part for part in parts)
    try:
        path.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{shown} is not UTF-8: etcd's v2 API would take it for another key. "
            'Use UTF-8, or api="v3"'
        ) from error
    if len(quote(path)) > LONGEST:
        raise ValueError(
            f"a key of {len(path):,} bytes is too long for etcd's v2 API, which takes "
            f'{LONGEST:,} (three for each that is not a letter or digit). Use api="v3"'
        )
    return path


def checked_value(path: bytes, value: bytes, ttl: int | None, lease: int = 0) -> str:
    """Give a value as v2 takes it: text, with a TTL of a second or more, and no lease.

    Raises
    ------
    ValueError
        For what is not so: the server would store something else, or delete it at once.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the value for {path.decode()!r} is not UTF-8: etcd's v2 API would store another "
            'one. Encode it (as base64, for example), or use api="v3"'
        ) from error
    if ttl is not None and ttl < 1:
        raise ValueError(f"a TTL of {ttl} s: it must be 1 s or more")
    if lease:
        raise ValueError("etcd's v2 API has no leases: give a TTL instead")
    return text


def is_hidden(path: bytes) -> bool:
    """Tell whether etcd lists a key, and tells of it, only to those who name it."""
    return b"/_" in path


def tree_range(key: bytes, *, prefix: bool) -> KeyRange:
    """Give the keys that a key means, or a directory with all below it.

    Raises
    ------
    ValueError
        For a key that v2 cannot have, or hides from whoever watches a directory above it.
    """
    path = canonical(key, prefix=prefix)
    if is_hidden(path):
        raise ValueError(
            f"{path.decode()!r} cannot be watched: a part of it begins with '_', and etcd's v2 "
            "API hides such keys from whoever watches a directory above. Choose another key, "
            'or use api="v3"'
        )
    return KeyRange.of_prefix(path + b"/") if prefix else KeyRange.of_key(path)


def quote(path: bytes, *, directory: bool = False) -> str:
    """Give a canonical key as a URL has it.

    python-etcd sends keys as they are: `/x#y` would go to `/x`. A directory is named with a slash
    at its end: a role for `/some/*` covers `/some/`, and does not cover `/some`.
    """
    return urllib.parse.quote(path) + ("/" if directory else "")


class Place(NamedTuple):
    """What is read or polled.

    Attributes
    ----------
    path : bytes
        A canonical key; without a slash at its end for a directory, b"" for the root.
    recursive : bool
        Whether it is a directory, with all that is in it.
    """

    path: bytes
    recursive: bool

    @property
    def url(self) -> str:
        return quote(self.path, directory=self.recursive)

    @property
    def index_key(self) -> bytes:
        """A key whose reading tells the index, to whoever may read this place."""
        return self.path + NO_KEY if self.recursive else self.path

    def __contains__(self, key: object) -> bool:
        if key == self.path:
            return True
        below = self.path + b"/"
        return self.recursive and isinstance(key, bytes) and key.startswith(below)


def place_of(scope: KeyRange) -> Place:
    """Give the deepest place that has every key of a range."""
    if scope.end == scope.start + b"\0":
        return Place(scope.start, recursive=False)
    directory = scope.start
    while (slash := directory.rfind(b"/")) >= 0:
        directory = directory[:slash]
        # "0" comes right behind "/": a directory's keys end there.
        if scope.end is not None and scope.end <= directory + b"0":
            return Place(directory, recursive=True)
    return Place(b"", recursive=True)
