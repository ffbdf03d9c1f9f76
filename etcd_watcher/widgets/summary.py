"""A watcher as a cell's last expression: how it stands, who is told of what, and what came last."""

from __future__ import annotations

import time
import weakref
from typing import Any

from IPython import get_ipython
from traitlets import Unicode

from etcd_watcher.event import Event, kind_of
from etcd_watcher.keys import to_bytes
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.names import name_of_subscriber
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.shown_text import cell, escaped_text, words

__all__ = ["Summary", "live_view"]

EVERY = 0.25
"""Seconds between two messages."""

KEYS = 30
NAMES = 10
"""Keys that are shown, and subscribers of each."""

LAST = 5
"""Changes that are shown."""

LOOK = 50
"""Records that are looked at for them: others may be in between."""

WIDTH = 80

VIEW = "application/vnd.jupyter.widget-view+json"


class Summary(LiveWidget):
    """What a notebook shows of a watcher that is a cell's last expression.

    Other than the widgets that one asks for, it does not keep its watcher: what it showed last
    stays when the watcher closes, or nobody has it any more.
    """

    _esm: Any = Unicode(script("summary")).tag(sync=True)
    _css: Any = Unicode(styles("summary")).tag(sync=True)

    _reference: weakref.ref[Watcher]

    @property  # type: ignore[override]  # see above
    def watcher(self) -> Watcher | None:
        """What it shows; None when that is gone."""
        return self._reference()

    @watcher.setter
    def watcher(self, watcher: Watcher) -> None:
        self._reference = weakref.ref(watcher)

    def _start(self) -> None:
        self._told: Message = {}
        self._told_at = 0.0

    @property
    def ended(self) -> bool:
        """Whether it shows the last of its watcher."""
        return self not in renderer.views

    def _delta(self) -> Message | None:
        now = time.monotonic()
        watcher = self.watcher
        closed = watcher is None or watcher.status.state == "closed"
        if now - self._told_at < EVERY and not closed:
            return None
        message = self._whole()
        if closed:
            renderer.remove(self)
        elif message == self._told:
            return None
        self._told, self._told_at = message, now
        return message

    def _whole(self) -> Message:
        watcher = self.watcher
        if watcher is None:
            return self._told | {"state": "closed", "reason": ""}
        status = watcher.status
        watched = watcher.watched_keys
        return {
            "state": status.state,
            "reason": words(status.reason),
            "api": watcher.api,
            "endpoint": escaped_text(status.endpoint),
            "revision": watcher.revision,
            "keys": [
                [
                    cell(to_bytes(each.key), WIDTH),
                    each.prefix,
                    [name_of_subscriber(interest.who) for interest in each.interests[:NAMES]],
                    max(0, len(each.interests) - NAMES),
                ]
                for each in watched[:KEYS]
            ],
            "more": max(0, len(watched) - KEYS),
            "last": self._last_changes(watcher),
        }

    @staticmethod
    def _last_changes(watcher: Watcher) -> list[Message]:
        """Give the newest changes, the last one first."""
        journal = watcher.journal
        records, times, _ = journal.read_timed(journal.end - LOOK)
        found = [
            {
                "came": came,
                "revision": record.revision,
                "kind": kind_of(record),
                "key": cell(record.raw_key, WIDTH),
                "value": "" if record.raw_value is None else cell(record.raw_value, WIDTH),
            }
            for record, came in zip(reversed(records), reversed(times), strict=True)
            if isinstance(record, Event)
        ]
        return found[:LAST]

    def _take(self, widget: object, message: object, buffers: object) -> None:
        if self.ended:  # nobody draws us any more, and a page that was loaded anew knows nothing
            with renderer.lock:
                self._send_news("whole", dict(self._told), 0.0)
        else:
            super()._take(widget, message, buffers)


_summaries: weakref.WeakKeyDictionary[Watcher, Summary] = weakref.WeakKeyDictionary()
"""The one of each watcher, whatever number of cells show it."""

_in_cells: dict[str, Summary] = {}
"""What each cell showed last."""


def live_view(watcher: Watcher) -> Message:
    """Give what a notebook shows of a watcher, as a bundle of MIME types; how it reads is static."""
    summary = _summaries.get(watcher)
    if summary is None or summary.comm is None:
        summary = _summaries[watcher] = Summary(watcher)
    cell_id = _running_cell()
    before = _in_cells.get(cell_id)
    if before is not None and before is not summary and before.ended:
        before.close()
    _in_cells[cell_id] = summary
    bundle = summary._repr_mimebundle_()
    return {} if bundle is None else {VIEW: bundle[0][VIEW]}


def _running_cell() -> str:
    """Name the cell that is running, as its notebook does; "" where that tells no names."""
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return str(parent.get("metadata", {}).get("cellId", ""))
