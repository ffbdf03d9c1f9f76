"""`Dashboard`: all widgets of one watcher, linked and laid out."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Unicode

from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.callback_board import CallbackBoard
from etcd_watcher.widgets.event_log import EventLog
from etcd_watcher.widgets.key_picker import KeyPicker
from etcd_watcher.widgets.key_tree import KeyTree
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.revision_slider import RevisionSlider
from etcd_watcher.widgets.status_bar import StatusBar
from etcd_watcher.widgets.subscriber_picker import SubscriberPicker
from etcd_watcher.widgets.timeline import Timeline
from etcd_watcher.widgets.value_diff import ValueDiff
from etcd_watcher.widgets.value_editor import ValueEditor

__all__ = ["Dashboard"]


class Dashboard(LiveWidget):
    """Everything about one watcher: choose keys and subscribers, see what happens, write values.

    A node that is chosen in the tree narrows the log and the timeline, and a key opens in the
    editor; a span that is marked in the timeline narrows the log; a key that is opened in the
    editor, and an event in the log, show what they changed. The past is folded at first: unfolded,
    it has a slider that shows the tree, the log and the value as of any revision. Each part is a
    widget of its own, and an attribute here.

    Parameters
    ----------
    watcher : Watcher
    read_only : bool, optional
        As for `ValueEditor`: by default it writes only to servers on this machine.
    save_state : bool
        Let a saved notebook hold what was shown last. By default it holds no key and no value.

    Attributes
    ----------
    status_bar : StatusBar
    key_picker : KeyPicker
    subscriber_picker : SubscriberPicker
    callback_board : CallbackBoard
    event_log : EventLog
    timeline : Timeline
    revision_slider : RevisionSlider
    key_tree : KeyTree
    value_editor : ValueEditor
    value_diff : ValueDiff

    Examples
    --------
    >>> Dashboard(watcher)
    """

    _esm: Any = Unicode(script("dashboard")).tag(sync=True)
    _css: Any = Unicode(styles("dashboard")).tag(sync=True)

    read_only = Bool(allow_none=True, default_value=None).tag(setting=True)

    def __init__(self, watcher: Watcher, *unnamed: object, **settings: Any) -> None:
        self._parts: dict[str, tuple[str, LiveWidget]] = {}
        """By their names: the title, "" for none, and the widget."""
        self._folded = {"past"}
        self._told: Message = {}
        super().__init__(watcher, *unnamed, **settings)

    def _start(self) -> None:
        kept: dict[str, Any] = {"save_state": self.save_state}
        watcher = self.watcher
        self.status_bar = StatusBar(watcher, **kept)
        self.key_picker = KeyPicker(watcher, **kept)
        self.subscriber_picker = SubscriberPicker(watcher, **kept)
        self.callback_board = CallbackBoard(watcher, **kept)
        self.event_log = EventLog(watcher, **kept)
        self.timeline = Timeline(watcher, **kept)
        self.revision_slider = RevisionSlider(watcher, read_only=self.read_only, rows=0, **kept)
        self.key_tree = KeyTree(watcher, **kept)
        self.value_editor = ValueEditor(watcher, read_only=self.read_only, **kept)
        self.value_diff = ValueDiff(watcher, **kept)
        self._parts = {
            "status": ("", self.status_bar),
            "keys": ("Keys", self.key_picker),
            "subscribers": ("Subscribers", self.subscriber_picker),
            "board": ("Callbacks", self.callback_board),
            "log": ("Events", self.event_log),
            "timeline": ("Timeline", self.timeline),
            "past": ("Past", self.revision_slider),
            "tree": ("All keys", self.key_tree),
            "editor": ("Value", self.value_editor),
            "diff": ("What changed", self.value_diff),
        }
        for _, part in self._parts.values():
            part.part_of = self
        self.key_tree.observe(self._follow_tree, ["within", "only"])
        self.timeline.observe(self._follow_timeline, ["between"])
        self.event_log.observe(self._follow_log, ["selected"])
        self.value_editor.observe(self._follow_editor, ["key"])
        for each in (self.value_editor, self.revision_slider):
            each.observe(self._follow_writes, ["writes_made"])
        self.revision_slider.observe(self._follow_slider, ["moment"])

    def _follow_slider(self, _: object) -> None:
        """Show the keys, the log and the value as they were."""
        moment = self.revision_slider.moment
        self.key_tree.moment = self.value_editor.moment = moment
        self.event_log.until = None if moment is None else moment.revision

    def _follow_timeline(self, _: object) -> None:
        """Show the events of the span that was marked."""
        self.event_log.between = self.timeline.between

    def _follow_log(self, _: object) -> None:
        """Show what the event that was opened has changed."""
        if self.event_log.selected is not None:
            self.value_diff.event = self.event_log.selected

    def _follow_editor(self, _: object) -> None:
        """Show what has changed in the key that was opened."""
        self.value_diff.only = self.value_editor.key

    def _follow_writes(self, _: object) -> None:
        """Show what was written where nobody watches it."""
        self.key_tree.refresh()
        self.value_diff.refresh()

    def _follow_tree(self, _: object) -> None:
        """Show what was chosen in the tree."""
        for each in (self.event_log, self.timeline):
            each.only, each.within = self.key_tree.only, self.key_tree.within
        if self.key_tree.only:
            self.value_editor.key = self.key_tree.only

    def _delta(self) -> Message | None:
        if any(widget.comm is None for _, widget in self._parts.values()):
            return None  # they are being closed on another thread: there is nothing to show
        message = self._whole()
        if message == self._told:
            return None
        self._told = message
        return message

    def _whole(self) -> Message:
        return {
            "parts": [
                {
                    "name": name,
                    "title": title,
                    "model": widget.model_id,
                    "folded": name in self._folded,
                }
                for name, (title, widget) in self._parts.items()
            ]
        }

    def _heard(self, message: Message) -> None:
        match message:
            case {"ask": "fold", "part": str(name), "folded": bool(folded)} if name in self._parts:
                if folded:
                    self._folded.add(name)
                else:
                    self._folded.discard(name)

    def close(self) -> None:
        """Close all parts. Idempotent; the watcher is left as it is."""
        # ipywidgets closes a widget that was refused its arguments, too.
        for _, widget in vars(self).get("_parts", {}).values():
            widget.close()
        super().close()

    def _saved_html(self) -> str:
        with renderer.lock:
            saved = [widget._saved_html() for _, widget in self._parts.values()]  # noqa: SLF001 - of our own kind
        return "".join(each for each in saved if each)
