"""What lives in a place of etcd v2, and the events that one of the server's changes is there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from etcd_watcher.errors import Compacted
from etcd_watcher.event import Event, EventType
from etcd_watcher.keys import KeyRange, to_bytes
from etcd_watcher.stores.base import KeyValue
from etcd_watcher.stores.v2_keys import Place, is_hidden

__all__ = ["Mirror"]

GONE = {"delete", "expire", "compareAndDelete"}
"""The server's words for a key that is no more."""

REMEMBERED = 16
"""Deletions of directories whose keys are kept, for a watch that begins anew before them: one
whose last change was read, but dropped because the range had been replaced meanwhile."""


class _Gone(NamedTuple):
    key: bytes
    value: bytes | None
    created: int


class Mirror:
    """The keys that live in a place. The server tells of a directory's deletion, not of its keys'.

    Parameters
    ----------
    place : Place
        Where.
    index : int
        The index at which `items` were read.
    items : iterable of KeyValue
        Every key there.

    Attributes
    ----------
    loaded : int
        The index of that read.
    applied : int
        The index of the newest change that is in.
    current : int
        An index up to which no change is missing.
    """

    def __init__(self, place: Place, index: int, items: Iterable[KeyValue]) -> None:
        self.place = place
        self.loaded = self.applied = self.current = index
        self._live = {item.raw_key: (item.raw_value, item.created) for item in items}
        self._fallen: OrderedDict[int, list[_Gone]] = OrderedDict()
        """The keys that the last deletions of directories took along, by index."""

    def serves(self, place: Place, after: int) -> bool:
        """Tell whether a watch that begins behind `after` can go on from here."""
        return self.place == place and after <= self.current

    def living(self, scope: KeyRange) -> dict[bytes, int]:
        """Give the keys of a range that live, with the index that each was created at."""
        return {key: created for key, (_, created) in self._live.items() if key in scope}

    def apply(self, change: Any, scope: KeyRange) -> list[Event]:
        """Take in a change, python-etcd's `EtcdResult`, and give its events in `scope`, by key.

        A change that is in already is not taken in again, and gives the same events as before.

        Raises
        ------
        Compacted
            A directory is gone that had been, or had changed, before our read: nobody can tell
            which keys went with it.
        """
        key, action, index = to_bytes(change.key), change.action, int(change.modifiedIndex)
        if is_hidden(key):
            # The server's history tells of them, but a poll that waits is not told. So nobody is.
            return []
        known = index <= self.applied
        self.applied = max(self.applied, index)
        self.current = max(self.current, index)
        before = getattr(change, "_prev_node", None)
        old = None if before is None or before.value is None else to_bytes(before.value)
        if action in GONE or change.dir:
            if not change.dir:
                gone = [_Gone(key, old, change.createdIndex)]
            elif action in GONE:
                gone = self._fall(key, index, scope, known=known)
            elif before is not None and old is not None:
                # A directory was put in the place of a key.
                gone = [_Gone(key, old, before.createdIndex)]
            else:  # a directory was made, or given another TTL
                gone = []
            if not known:
                for each in gone:
                    self._live.pop(each.key, None)
            return [_deletion(each, index, action) for each in gone if each.key in scope]
        new = to_bytes(change.value or "")
        if not known:
            self._live[key] = (new, change.createdIndex)
        if key not in scope:
            return []
        created = change.createdIndex
        return [
            Event(
                EventType.PUT,
                key,
                new,
                old,
                index,
                created,
                version=0,
                lease=0,
                action=action,
                expired=False,
                synthetic=False,
            )
        ]

    def _fall(self, directory: bytes, index: int, scope: KeyRange, *, known: bool) -> list[_Gone]:
        """Give the keys that a directory's deletion takes along, sorted."""
        if index in self._fallen:
            return self._fallen[index]
        below = KeyRange.of_prefix(directory + b"/")
        if known:
            if index <= self.loaded and _overlap(below, scope):
                raise Compacted(self.loaded, index + 1)
            return []
        keys = sorted(key for key in self._live if key in below)
        gone = [_Gone(key, *self._live[key]) for key in keys]
        if gone:
            self._fallen[index] = gone
            if len(self._fallen) > REMEMBERED:
                self._fallen.popitem(last=False)
        return gone


def _overlap(one: KeyRange, other: KeyRange) -> bool:
    return (one.end is None or other.start < one.end) and (
        other.end is None or one.start < other.end
    )


def _deletion(gone: _Gone, index: int, action: str) -> Event:
    return Event(
        EventType.DELETE,
        gone.key,
        None,
        gone.value,
        index,
        gone.created,
        version=0,
        lease=0,
        action=action,
        expired=action == "expire",
        synthetic=False,
    )
