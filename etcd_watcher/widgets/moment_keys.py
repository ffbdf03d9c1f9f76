"""The keys of a moment of the past, listed as a store lists those of the present."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from etcd_watcher.moment import Moment
from etcd_watcher.stores.base import KeyHead, KeyPage
from etcd_watcher.widgets.key_nodes import CUT, KeyNode, KeyNodes

__all__ = ["MomentKeys"]

NOT_KNOWN = -1
"""Stands for the revision of a value of which nobody knows when it was written."""


class MomentKeys:
    """Lists the keys of a moment, and gives their values to the nodes of a tree."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._keys = [each.raw_key for each in moment.entries]

    def page(self, beginning: bytes, after: bytes | None, limit: int) -> KeyPage:
        """List keys as `key_listing.list_level` asks for them."""
        first = bisect_left(self._keys, beginning)
        if after is not None:
            first = max(first, bisect_right(self._keys, after))
        end = self._end(beginning, first)
        heads = [
            KeyHead(each.raw_key, each.revision, each.created, each.version, 0, expires=False)
            for each in self._moment.entries[first : min(end, first + limit)]
        ]
        more = heads[-1].raw_key if heads and first + limit < end else None
        return KeyPage(self._moment.revision, heads, more, end - first)

    def _end(self, beginning: bytes, first: int) -> int:
        """Give the place behind the last key that begins so."""
        low, high = first, len(self._keys)
        while low < high:
            middle = (low + high) // 2
            if self._keys[middle][: len(beginning)] <= beginning:
                low = middle + 1
            else:
                high = middle
        return low

    def fill(self, nodes: KeyNodes, folder: KeyNode) -> None:
        """Give the keys right below a folder the values that they had."""
        _quiet(folder)
        folder.note = f"as of revision {self._moment.revision:,}"
        nodes.changed[folder] = None
        for node in folder.children:
            _quiet(node)
            nodes.changed[node] = None
            if node.folder:
                continue
            place = bisect_left(self._keys, node.raw)
            if place < len(self._keys) and self._keys[place] == node.raw:
                entry = self._moment.entries[place]
                node.value = entry.raw_value[:CUT]
                node.revision = entry.revision or NOT_KNOWN


def _quiet(node: KeyNode) -> None:
    """Show nothing at a node of what has happened since."""
    node.kind, node.value, node.latest = "", None, b""
    node.expires, node.deadline = False, None
