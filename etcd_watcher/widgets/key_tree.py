"""`KeyTree`: the keyspace as a tree, unfolded as far as somebody looks, and live."""

from __future__ import annotations

import time
from functools import partial

from traitlets import Instance, Int, Unicode, observe

from etcd_watcher._html import code, table_html, text
from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.moment import Moment
from etcd_watcher.stores.base import KeyPage, KeyValue, TimeToLive
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.key_listing import Level, list_level
from etcd_watcher.widgets.key_nodes import CUT, MOST_CHILDREN, KeyNode, KeyNodes, events_below
from etcd_watcher.widgets.moment_keys import MomentKeys
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.shown_text import cell, escaped_text, words

__all__ = ["KeyTree"]

EVERY = 0.2
"""Seconds between two messages, unless somebody unfolds a folder."""

LOOK = 0.015
"""Seconds that a drawing counts events: what is left waits for the next."""

CHUNK = 500
MOST_NODES = 5_000
"""Nodes of a tree: a bound on the page's memory and ours."""

MOST_SEEN = 200
"""Nodes that are in sight in a page; only they are kept up to date there."""

LEASE_EVERY = 5.0
"""Seconds after which we ask anew how long a key in sight has to live: leases are kept alive."""

SAVED = 300
"""Rows that a notebook may keep."""

NAME_WIDTH = 120
VALUE_WIDTH = 120


class KeyTree(LiveWidget):
    """The keys as a tree of folders: unfold one to see what is in it, and how it changes.

    Keys that change flash. Each folder tells how many keys and how many changes it has and what
    came last; each key its value, and how long it has to live. Choosing a node sets `within` or
    `only`, which other widgets can follow: `traitlets.link((tree, "within"), (log, "within"))`.

    Parameters
    ----------
    watcher : Watcher
        Whose keys are shown. All keys of the server are listed; those that are watched are live.
    separator : str
        What divides a key into folders; "" for none.
    root : str
        Show only the keys that begin with this.
    within : str
        What the keys in the chosen folder begin with; "" when none, or a key, is chosen.
    only : str
        The chosen key; "" when none, or a folder, is chosen.
    moment : Moment, optional
        Show the keys as they were then, `watcher.at(17, "", prefix=True)`; a RevisionSlider sets it.
        None: live.
    height : int
        How many rows are visible at once.

    Examples
    --------
    >>> KeyTree(watcher, root="sensors/")
    """

    _esm = Unicode(script("key_tree")).tag(sync=True)
    _css = Unicode(styles("key_tree")).tag(sync=True)

    separator = Unicode("/").tag(sync=True, setting=True, to_json=escaped_text)
    root = Unicode().tag(setting=True)
    within = Unicode().tag(setting=True)
    only = Unicode().tag(setting=True)
    moment = Instance(Moment, allow_none=True)
    height = Int(12, min=3, max=100).tag(sync=True, setting=True)

    def _start(self) -> None:
        self._cursor = self.watcher.journal.cursor()
        self._began = self._cursor.position
        """Changes are counted from here on."""
        self._asked_leases: dict[int, float] = {}
        self._past: MomentKeys | None = None
        """The keys of the moment that is shown; None for the present."""
        self._plant()

    def _plant(self) -> None:
        """Begin anew, with the root alone."""
        self._cursor.position = self._began
        root = to_bytes(self.root)
        if self.watcher.api == "v2":  # all of its keys begin so
            root = b"/" + root.lstrip(b"/")
        self._nodes = KeyNodes(root, to_bytes(self.separator), leases=self.watcher.api == "v3")
        self._sent: set[int] = set()
        """Numbers of the nodes that the page has."""
        self._seen: dict[int, None] = {}
        """Those that are in sight."""
        self._asked_values: set[KeyNode] = set()
        self._told_at = 0.0
        self._hurry = True
        """Whether somebody waits for an answer."""
        self._selected_told: int | None = None
        self._list(self._nodes.root)

    @observe("separator", "root")
    def _plant_anew(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._plant()
                self._whole_wanted = True

    @observe("moment")
    def _other_moment(self, _: object) -> None:
        """Show another moment, with the same folders open. What happens meanwhile waits."""
        with renderer.lock:
            self._past = None if self.moment is None else MomentKeys(self.moment)
            for node in self._nodes:
                node.revision, node.value = 0, None  # they are others
            if self._open:
                self._list_again()
                self._hurry = True

    @observe("within", "only")
    def _choose_one(self, change: dict[str, object]) -> None:
        """Keep one of the two empty."""
        if change["new"]:
            other = "only" if change["name"] == "within" else "within"
            setattr(self, other, "")
        if self._open:
            with renderer.lock:
                self._hurry = True

    # What the page is told.

    def _delta(self) -> Message | None:
        now = time.monotonic()
        if self._past is None:
            self._read()
            self._ask_for_seen(now)
        self._nodes.bury(now)
        if not self._hurry and now - self._told_at < EVERY:
            return None
        self._hurry, self._told_at = False, now
        nodes = self._nodes
        selected = self._selected()
        sent, seen = self._sent, self._seen
        told = [each for each in nodes.changed if each.number not in sent or each.number in seen]
        message: Message = {}
        if told:
            message["nodes"] = [self._node(node, now) for node in told]
        if nodes.reordered:
            message["order"] = self._order(nodes.reordered)
        if nodes.gone:
            message["gone"] = list(nodes.gone)
        if selected != self._selected_told:
            message["selected"] = self._selected_told = selected
        for node in told:
            del nodes.changed[node]
            self._sent.add(node.number)
        self._sent.difference_update(nodes.gone)
        nodes.reordered.clear()
        nodes.gone.clear()
        return message or None

    def _whole(self) -> Message:
        now = time.monotonic()
        nodes = self._nodes
        self._sent = {node.number for node in nodes}
        self._selected_told = self._selected()
        nodes.changed.clear()
        nodes.reordered.clear()
        nodes.gone.clear()
        return {
            "root": nodes.root.number,
            "nodes": [self._node(node, now) for node in nodes],
            "order": self._order([node for node in nodes if node.children]),
            "selected": self._selected_told,
        }

    @staticmethod
    def _order(folders: object) -> Message:
        return {str(node.number): [each.number for each in node.children] for node in folders}  # type: ignore[attr-defined]

    def _node(self, node: KeyNode, now: float) -> Message:
        parent = node.parent
        name = node.raw if parent is None else node.raw[len(parent.raw) :]
        return {
            "id": node.number,
            "parent": None if parent is None else parent.number,
            "name": cell(name, NAME_WIDTH),
            "folder": node.folder,
            "keys": node.keys,
            "changes": node.changes,
            "kind": node.kind,
            "value": None if node.value is None else cell(node.value, VALUE_WIDTH),
            "known": node.revision > 0,
            "latest": cell(node.latest[len(node.raw) :], NAME_WIDTH) if node.folder else "",
            "left": None if node.deadline is None else round(max(0.0, node.deadline - now), 1),
            "open": node.opened,
            "loading": node.listing is not None,
            "more": node.more is not None,
            "note": node.note,
            "gone": node.gone_at is not None,
        }

    def _selected(self) -> int | None:
        within, only = to_bytes(self.within), to_bytes(self.only)
        if not within and not only:
            return self._nodes.root.number
        for node in self._nodes:
            if node.raw == (within or only) and node.folder == bool(within):
                return node.number
        return None

    def _saved_html(self) -> str:
        now = time.monotonic()
        told = {node.number: self._node(node, now) for node in self._nodes}
        rows = []
        for node in self._nodes.walk():
            about = told[node.number]
            name = "\u2003" * node.depth + (about["name"] or "all keys")
            rows.append((code(name), code(about["value"]), text(about["keys"] or "")))
        return table_html(("key", "value", "keys"), rows[:SAVED])

    # What happens.

    def _read(self) -> None:
        deadline = time.monotonic() + LOOK
        while self._cursor.behind and time.monotonic() < deadline:
            for record in self._cursor.read(CHUNK):
                if type(record) is Event:
                    if record.raw_key.startswith(self._nodes.root.raw):
                        self._nodes.note([record])
                elif type(record) is Gap or (type(record) is Status and self._has_notes(record)):
                    self._list_again()

    def _has_notes(self, status: Status) -> bool:
        """Tell whether a server came back of which some folder could not be listed."""
        return status.state == "connected" and any(node.note for node in self._nodes)

    def _list_again(self) -> None:
        for node in list(self._nodes):
            if node.opened and self._nodes.get(node.number) is node:
                self._list(node)

    def _list(self, node: KeyNode, after: bytes | None = None) -> None:
        self._nodes.begin_listing(node)
        separator, past = self._nodes.separator, self._past
        limit = node.room if after is None else MOST_CHILDREN
        if past is not None:
            level = list_level(past.page, node.raw, separator, after, limit)
            self._nodes.take_level(node, level, first=after is None)
            past.fill(self._nodes, node)
            return
        question = partial(list_level, self._page_of_keys, node.raw, separator, after, limit)
        nodes, until = self._nodes, self._cursor.position

        def take(level: Level) -> None:
            if self._awaits(nodes, node):
                past = events_below(node.raw, self.watcher.journal, self._began, until)
                nodes.take_level(node, level, first=after is None, past=past)
                self._hurry = True

        def fail(error: Exception) -> None:
            if self._awaits(nodes, node):
                nodes.fail_listing(node, f"Not listed: {words(str(error))}")
                self._hurry = True

        asker.ask(self, ("list", node.number), question, take, fail)

    def _awaits(self, nodes: KeyNodes, node: KeyNode) -> bool:
        """Tell whether what the server says of a folder is still wanted."""
        return self._past is None and nodes is self._nodes and nodes.get(node.number) is node

    def _page_of_keys(self, beginning: bytes, after: bytes | None, limit: int) -> KeyPage:
        return self.watcher.list_keys(beginning, after=after, limit=limit)

    def _ask_for_seen(self, now: float) -> None:
        """Ask for the values and the times of the keys in sight that nobody has told yet."""
        values, leases = [], []
        for number in self._seen:
            node = self._nodes.get(number)
            if node is None or node.folder or node.gone_at is not None:
                continue
            if node.revision == 0 and node not in self._asked_values:
                values.append(node)
            asked = self._asked_leases.get(number, 0.0)
            if node.expires is not False and (
                now - asked >= LEASE_EVERY or (node.deadline is None and now - asked >= 1)
            ):
                leases.append(node)
        if values:
            self._asked_values.update(values)
            asker.ask(
                self,
                ("values", values[0].number),
                partial(self._read_values, values),
                self._take_values,
            )
        if leases:
            self._asked_leases |= dict.fromkeys((node.number for node in leases), now)
            asker.ask(self, "leases", partial(self._read_leases, leases), self._take_leases)

    # On the asker's thread: a node's `raw`, `folder` and `number` never change.

    def _read_values(self, nodes: list[KeyNode]) -> list[tuple[KeyNode, KeyValue | None]]:
        found = []
        for node in nodes:
            try:
                found.append((node, self.watcher.read(node.raw)))
            except EtcdWatcherError:  # no right to it, or the server went away
                found.append((node, None))
        return found

    def _read_leases(self, nodes: list[KeyNode]) -> list[tuple[KeyNode, TimeToLive | None]]:
        return [(node, self.watcher.time_left(node.raw)) for node in nodes]

    def _take_values(self, found: list[tuple[KeyNode, KeyValue | None]]) -> None:
        for node, value in found:
            self._asked_values.discard(node)
            if value is not None and value.revision > node.revision:
                node.value = value.raw_value[:CUT]
                node.revision = value.revision
                node.lease = value.lease
            else:
                node.revision = node.revision or -1  # not to be had: do not ask again
            self._note_changed(node)

    def _take_leases(self, found: list[tuple[KeyNode, TimeToLive | None]]) -> None:
        now = time.monotonic()
        for node, time_left in found:
            node.expires = time_left is not None
            node.deadline = None if time_left is None else now + time_left.left
            self._note_changed(node)

    def _note_changed(self, node: KeyNode) -> None:
        if self._nodes.get(node.number) is node:
            self._nodes.changed[node] = None

    # What the page asks for.

    def refresh(self) -> None:
        """List the open folders again: what happens to keys that nobody watches is not told."""
        with renderer.lock:
            self._list_again()
            self._hurry = True

    def _heard(self, message: Message) -> None:
        match message:
            case {"ask": "refresh"}:
                self.refresh()
            case {"ask": "see", "nodes": list(numbers)}:
                self._seen = dict.fromkeys(
                    number for number in numbers[:MOST_SEEN] if isinstance(number, int)
                )
                asked = self._asked_leases
                self._asked_leases = {each: asked[each] for each in self._seen if each in asked}
            case {"ask": str(what), "node": int(number)}:
                node = self._nodes.get(number)
                if node is not None:
                    self._do(what, node)

    def _do(self, what: str, node: KeyNode) -> None:
        self._hurry = True
        if what == "fold" and node.folder:
            self._nodes.fold(node)
        elif what == "select":
            self.select(node.raw, folder=node.folder and node is not self._nodes.root)
        elif node.folder and what in {"unfold", "more"}:
            if len(self._nodes) >= MOST_NODES:
                node.note = "Fold something else first: the tree is large."
                self._nodes.changed[node] = None
            elif what == "unfold" and not node.opened:
                self._list(node)
            elif what == "more" and node.more is not None and node.listing is None:
                node.room += MOST_CHILDREN
                self._list(node, node.more)

    def select(self, key: str | bytes, *, folder: bool) -> None:
        """Choose a key, or a folder, by what its keys begin with; the root chooses nothing."""
        name = key if isinstance(key, str) else to_text(key)
        if folder:
            self.within = name
        else:
            self.within = ""
            self.only = "" if name == to_text(self._nodes.root.raw) else name
