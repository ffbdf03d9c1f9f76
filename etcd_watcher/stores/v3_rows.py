"""The changes of a history as rows, made of many messages at once.

To make a message of each change and to ask it for its fields takes 0.7 us. protobuf does it for
many in one go: messages that stand behind one another are read as one, and where a field of that one
is repeated, it has what the same field has in each of them, in order. Read so, as a `wire.KeyValues`,
they are columns, and a row takes 0.3 us.

Only that a field with nothing in it is not written at all: the lease of a key that has none, an
empty value, all but the key and the revision of a deletion. A column that is shorter than the others
does not tell which rows it lacks. Then a few messages are read together, and where these are not
alike either, each by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, Final

from etcd_watcher.stores import wire

__all__ = ["KEY", "REVISION", "Row", "rows", "stored_rows", "told_rows"]

Row = tuple[bytes, bytes, int, int, int, int]
"""What a change made of its key: the key, its value, the revision of the change, the one at which
the key was created, its version, and its lease. A deletion has no version."""

KEY: Final = 0
REVISION: Final = 2
"""Where a row has them."""

FEW = 32
"""Read together where all are not alike. Fewer, and a call takes as long as the messages would."""

_FIELDS = attrgetter("key", "value", "mod_revision", "create_revision", "version", "lease")
"""Of a key and its value on the wire. All at once they take 0.2 us less than one by one."""

_NOTHING: Row = (b"", b"", 0, 0, 0, 0)


def rows(messages: Iterable[Any]) -> Iterable[Row]:
    """Give the rows of messages, each a `wire.KeyValue`."""
    return map(_FIELDS, messages)


def stored_rows(encoded: Sequence[bytes]) -> Iterable[Row]:
    """Give the rows of key-values, each as the bytes of its message."""
    count = len(encoded)
    together = _read(wire.KeyValues.FromString(b"".join(encoded)), count)
    if together is not None:
        return together
    if count > FEW:
        some = (encoded[begin : begin + FEW] for begin in range(0, count, FEW))
        return chain.from_iterable(map(stored_rows, some))
    return rows(map(wire.KeyValue.FromString, encoded))


def told_rows(encoded: bytes, count: int) -> Iterable[Row]:
    """Give the rows of changes, so many, as they stand behind one another in a response."""
    together = _read(wire.WatchResponses.FromString(encoded).events.kv, count)
    if together is not None:
        return together
    return rows(each.kv for each in wire.WatchResponse.FromString(encoded).events)


def _read(columns: Any, count: int) -> Iterable[Row] | None:
    """Give the rows of columns, unless one of these lacks something, but not everything."""
    # As lists: to go through protobuf's own takes three times as long.
    full = [list(each) for each in _FIELDS(columns)]
    if any(len(each) not in (0, count) for each in full):
        return None
    present = (each or repeat(no, count) for each, no in zip(full, _NOTHING, strict=True))
    return zip(*present, strict=True)
