"""The tree of keys as it is known: what was listed, kept up to date by what happens.

Only what somebody unfolded has nodes below it; what happens deeper down is counted where it can be
seen. So the tree stays small whatever the keyspace.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from etcd_watcher.event import Event, kind_of
from etcd_watcher.journal import Journal
from etcd_watcher.widgets.key_listing import BEHIND, Child, Level, child_of

__all__ = ["CUT", "MOST_CHILDREN", "KeyNode", "KeyNodes", "events_below"]

MOST_CHILDREN = 300
"""Children of a folder that are shown at first, and that "more" adds."""

CUT = 700
"""Bytes of a value that a node keeps: more than is shown."""

STAYS = 5.0
"""Seconds for which a deleted key is still shown."""


class KeyNode:
    """A key or a folder.

    Attributes
    ----------
    number : int
        Names it to the page.
    raw : bytes
        The key, or what all keys in the folder begin with.
    keys : int or None
        How many keys are in a folder, as far as anybody counted.
    room : int
        How many children it may have: the others are listed when asked for.
    changes : int
        How many events it saw, a folder those of all its keys.
    counted_at : int
        The revision of which `keys` and the children were listed: older events are in them.
    opened : bool
        Whether it was unfolded: its children are known, or being asked for.
    kind, revision, value, latest : str, int, bytes, bytes
        Of the last event: what it was, when, the beginning of the value, and which key's.
        A `revision` of 0: the value is not known.
    expires : bool or None
        Whether a key goes away by itself; None while nobody has asked.
    deadline : float or None
        When it does, in seconds of `time.monotonic`.
    gone_at : float or None
        When it was deleted; it is still shown for a while.
    """

    __slots__ = (
        *("changes", "children", "counted_at", "deadline", "expires", "folder", "gone_at", "keys"),
        *("kind", "latest", "lease", "listing", "more", "note", "number", "opened", "parent"),
        *("raw", "revision", "room", "value"),
    )

    def __init__(self, number: int, raw: bytes, *, folder: bool, parent: KeyNode | None) -> None:
        self.number = number
        self.raw = raw
        self.folder = folder
        self.parent = parent
        self.children: list[KeyNode] = []  # sorted by `raw`, folders and keys alike
        self.more: bytes | None = None  # where the listing goes on
        self.room = MOST_CHILDREN
        self.keys: int | None = None
        self.changes = 0
        self.counted_at = 0
        self.opened = False
        self.listing: list[Event] | None = None  # what comes while a listing is under way
        self.note = ""
        self.kind = ""
        self.value: bytes | None = None
        self.latest = b""
        self.revision = 0
        self.lease = 0
        self.expires: bool | None = False
        self.deadline: float | None = None
        self.gone_at: float | None = None

    @property
    def depth(self) -> int:
        """How many folders it is in."""
        return 0 if self.parent is None else self.parent.depth + 1


class KeyNodes:
    """The nodes of one tree. Used under the renderer's lock.

    Attributes
    ----------
    changed : dict of KeyNode to None
        Nodes of which something has changed since the set was last emptied.
    reordered : dict of KeyNode to None
        The same for the list of a node's children.
    gone : list of int
        Numbers of nodes that are no more, likewise.
    """

    def __init__(self, root: bytes, separator: bytes, *, leases: bool) -> None:
        self.separator = separator
        self._leases = leases
        """Whether an event tells the lease that its key hangs on (v3)."""
        self._numbers = 0
        self.changed: dict[KeyNode, None] = {}
        self.reordered: dict[KeyNode, None] = {}
        self.gone: list[int] = []
        self._by_number: dict[int, KeyNode] = {}
        self._dying: dict[KeyNode, None] = {}
        self.root = self._make(root, folder=True, parent=None)

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[KeyNode]:
        return iter(self._by_number.values())

    def walk(self, node: KeyNode | None = None) -> Iterator[KeyNode]:
        """Give the nodes from top to bottom, as they are shown."""
        node = node or self.root
        yield node
        for child in node.children:
            yield from self.walk(child)

    def get(self, number: int) -> KeyNode | None:
        """Give the node of a number."""
        return self._by_number.get(number)

    def _make(self, raw: bytes, *, folder: bool, parent: KeyNode | None) -> KeyNode:
        self._numbers += 1
        node = KeyNode(self._numbers, raw, folder=folder, parent=parent)
        self._by_number[node.number] = node
        self.changed[node] = None
        return node

    # Unfolding.

    def begin_listing(self, node: KeyNode) -> None:
        """Unfold a folder, or list more of it: its events are kept until the answer is there."""
        node.opened = True
        node.listing = []
        node.note = ""
        self.changed[node] = None

    def take_level(
        self, node: KeyNode, level: Level, *, first: bool, past: Iterable[Event] = ()
    ) -> None:
        """Take what was found below a folder.

        Parameters
        ----------
        first : bool
            Whether it is not the rest of a listing.
        past : iterable of Event
            What happened before it was asked for: children that are new here have seen it, too.
        """
        events, node.listing = node.listing or [], None
        if not node.opened:
            return
        if first:
            self._take_first(node, level)
        known = {child.raw for child in node.children}
        for child in level.children:
            self._take_child(node, child, level.revision)
        self._recall(
            node, {each.raw: each for each in level.children if each.raw not in known}, past
        )
        node.more = level.more
        self.changed[node] = self.reordered[node] = None
        for event in events:
            if first:
                self._count(node, event)
            self._note_child(node, event)

    def _take_first(self, node: KeyNode, level: Level) -> None:
        found = {child.raw for child in level.children}
        end = level.more
        for child in list(node.children):
            if child.raw not in found and (end is None or child.raw <= end):
                self._drop(child)
        if level.keys is not None or node.keys is None:
            node.keys = level.keys
        node.counted_at = level.revision
        self._set_gone(node, gone=node.keys == 0 and node is not self.root)

    def _take_child(self, node: KeyNode, child: Child, revision: int) -> None:
        known = self._child(node, child.raw) or self._add(node, child.raw, folder=child.folder)
        self._set_gone(known, gone=False)
        known.counted_at = revision
        if child.head is None:
            known.keys = child.keys
        elif child.head.revision > known.revision:
            known.lease = child.head.lease
            known.expires = child.head.expires
            known.revision = 0  # its value is not known
            known.deadline = None
        self.changed[known] = None

    def _recall(self, node: KeyNode, fresh: dict[bytes, Child], past: Iterable[Event]) -> None:
        """Count what happened in children while their folder was folded."""
        if not fresh:
            return
        for event in past:
            raw, _ = child_of(event.raw_key, node.raw, self.separator)
            found = fresh.get(raw)
            child = self._child(node, raw) if found is not None else None
            if found is None or child is None:
                continue
            if found.head is None or found.head.revision == event.revision:
                self._take_event(child, event)
            else:  # it is not the last that happened to the key
                child.changes += 1

    def fail_listing(self, node: KeyNode, why: str) -> None:
        """Say at a folder why it could not be listed. What happens in it still shows."""
        events, node.listing = node.listing or [], None
        node.note = why
        self.changed[node] = None
        for event in events:
            self._note_child(node, event)

    def fold(self, node: KeyNode) -> None:
        """Forget what is below a folder."""
        node.opened = False
        node.room = MOST_CHILDREN
        node.listing = node.more = None
        node.note = ""
        for child in list(node.children):
            self._drop(child)
        self.changed[node] = None

    def _add(self, parent: KeyNode, raw: bytes, *, folder: bool) -> KeyNode:
        node = self._make(raw, folder=folder, parent=parent)
        parent.children.insert(bisect_left(parent.children, raw, key=_raw), node)
        self.reordered[parent] = None
        return node

    def _child(self, parent: KeyNode, raw: bytes) -> KeyNode | None:
        place = bisect_left(parent.children, raw, key=_raw)
        found = parent.children[place] if place < len(parent.children) else None
        return found if found is not None and found.raw == raw else None

    def _drop(self, node: KeyNode) -> None:
        for child in list(node.children):
            self._drop(child)
        parent = node.parent
        if parent is not None:
            place = bisect_left(parent.children, node.raw, key=_raw)
            del parent.children[place]
            self.reordered[parent] = None
        node.parent = None
        del self._by_number[node.number]
        self.changed.pop(node, None)
        self.reordered.pop(node, None)
        self._dying.pop(node, None)
        self.gone.append(node.number)

    # What happens.

    def note(self, events: Iterable[Event]) -> None:
        """Take what has happened, in order."""
        root = self.root
        for event in events:
            if event.raw_key.startswith(root.raw):
                self._note(root, event)

    def _note(self, node: KeyNode, event: Event) -> None:
        """Count an event at a folder and below it."""
        self._take_event(node, event)
        self._count(node, event)
        if node.listing is not None:
            node.listing.append(event)
        elif node.opened:
            self._note_child(node, event)

    def _count(self, node: KeyNode, event: Event) -> None:
        if node.keys is not None and event.revision > node.counted_at:
            node.keys = max(0, node.keys + {"created": 1, "modified": 0}.get(kind_of(event), -1))
            self._set_gone(node, gone=node.keys == 0 and node is not self.root)

    def _note_child(self, node: KeyNode, event: Event) -> None:
        raw, folder = child_of(event.raw_key, node.raw, self.separator)
        child = self._child(node, raw)
        if child is None:
            child = self._make_room_for(node, raw, event, folder=folder)
            if child is None:
                return
        if folder:
            self._note(child, event)
        else:
            self._note_key(child, event)

    def _make_room_for(
        self, node: KeyNode, raw: bytes, event: Event, *, folder: bool
    ) -> KeyNode | None:
        """Add a child that was not there, unless it is for a later page or was deleted."""
        if event.raw_value is None or event.revision <= node.counted_at:
            return None
        if node.more is not None and raw > node.more:
            return None
        child = self._add(node, raw, folder=folder)
        child.counted_at = event.revision - 1
        child.keys = 0 if folder else None
        last = node.children[-1]
        if len(node.children) > node.room and last is not child:
            node.more = node.children[-2].raw + (BEHIND if node.children[-2].folder else b"")
            self._drop(last)
        return child

    def _note_key(self, node: KeyNode, event: Event) -> None:
        self._take_event(node, event)
        node.lease = event.lease
        known = event.lease != 0 if self._leases else None
        node.expires = False if event.raw_value is None else known
        node.deadline = None
        self._set_gone(node, gone=event.raw_value is None)

    def _take_event(self, node: KeyNode, event: Event) -> None:
        node.changes += 1
        node.kind = kind_of(event)
        node.revision = event.revision
        node.latest = event.raw_key
        node.value = None if event.raw_value is None else event.raw_value[:CUT]
        self.changed[node] = None

    def _set_gone(self, node: KeyNode, *, gone: bool) -> None:
        if gone:
            node.gone_at = time.monotonic()
            self._dying[node] = None
        elif node.gone_at is not None:
            node.gone_at = None
            self._dying.pop(node, None)

    def bury(self, now: float) -> None:
        """Take away the keys that were deleted a while ago, and folders that are empty."""
        for node in list(self._dying):
            if node.gone_at is not None and now - node.gone_at >= STAYS and node in self._dying:
                self._drop(node)


def events_below(beginning: bytes, journal: Journal, start: int, stop: int) -> Iterator[Event]:
    """Give the events of keys that begin so, from one position of a journal to another."""
    records, after = journal.read(start)
    for record in records[: max(0, stop - (after - len(records)))]:
        if type(record) is Event and record.raw_key.startswith(beginning):
            yield record


def _raw(node: KeyNode) -> bytes:
    return node.raw
