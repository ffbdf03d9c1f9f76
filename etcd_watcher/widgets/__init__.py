"""Widgets that show what a watcher sees: choose, watch, see.

How one is made
---------------
A widget of ours that has work to do in the browser is a `LiveWidget` (module `base`): a class that
names its script and style sheet, says what it shows as messages, and is drawn by the kernel's one
renderer thread. The least one:

>>> class Counter(LiveWidget):                     # etcd_watcher/widgets/counter.py
...     _esm = Unicode(script("counter")).tag(sync=True)   # static/common.js + static/counter.js
...     _css = Unicode(styles("counter")).tag(sync=True)
...     step = Int(1).tag(sync=True, setting=True)  # a keyword, in the repr, known to the page
...
...     def _start(self):                           # once, before the first drawing
...         self._cursor = self.watcher.journal.cursor()
...         self._total = 0
...
...     def _delta(self):                           # on the renderer's thread, lock held, <= 20 Hz
...         fresh = self._cursor.read(5_000)
...         self._total += len(fresh)
...         return {"total": self._total} if fresh else None
...
...     def _whole(self):                           # for a new page, and once when things calm down
...         return {"total": self._total}
...
...     def _heard(self, message):                  # what the page asked: `ask({reset: true})`
...         if message.get("reset"):
...             self._total = 0
...             self._redraw()                      # send the whole at the next drawing

and in `static/counter.js`:

    export default live({
      start: () => ({ total: 0 }),                 // what the page knows, one for all its views
      apply: (state, message) => { state.total = message.total; },
      render({ el, state, ask, model }) {          // one view; gives how to bring it up to date
        const total = h("output", {});
        el.append(total, h("button", { on: { click: () => ask({ reset: true }) } }, "Reset"));
        return { update() { setText(total, state.total); } };
      },
    });

What comes with it: one message a drawing at most; the whole state again when a page is loaded anew,
when one of the page's messages was lost, and once when things calm down (Jupyter's server drops all
that comes past 1,000 messages/s, without a word); `close()`, also when the cell is run again; an
unknown keyword is a `TypeError` that names the right one; a stable repr, and a static form for
notebooks without a kernel. A delta names absolute values, not differences: a lost one then leaves
an old number for a moment, never a wrong sum.

Keys and values go to the page in messages, never in traits: so no notebook saves them. In the page
they are text, made with `h` and `setText`, never HTML.

Anything else can be drawn as well: `renderer.add(view)` calls `view.draw(now)` (module `renderer`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etcd_watcher.widgets.base import LiveWidget
    from etcd_watcher.widgets.callback_board import CallbackBoard
    from etcd_watcher.widgets.dashboard import Dashboard
    from etcd_watcher.widgets.event_log import EventLog
    from etcd_watcher.widgets.key_picker import KeyPicker
    from etcd_watcher.widgets.key_tree import KeyTree
    from etcd_watcher.widgets.revision_slider import RevisionSlider
    from etcd_watcher.widgets.status_bar import StatusBar
    from etcd_watcher.widgets.subscriber_picker import SubscriberPicker
    from etcd_watcher.widgets.timeline import Timeline
    from etcd_watcher.widgets.value_diff import ValueDiff
    from etcd_watcher.widgets.value_editor import ValueEditor

__all__ = [
    "CallbackBoard",
    "Dashboard",
    "EventLog",
    "KeyPicker",
    "KeyTree",
    "LiveWidget",
    "RevisionSlider",
    "StatusBar",
    "SubscriberPicker",
    "Timeline",
    "ValueDiff",
    "ValueEditor",
]

_HOMES = {
    "etcd_watcher.widgets.base": ("LiveWidget",),
    "etcd_watcher.widgets.callback_board": ("CallbackBoard",),
    "etcd_watcher.widgets.dashboard": ("Dashboard",),
    "etcd_watcher.widgets.event_log": ("EventLog",),
    "etcd_watcher.widgets.key_picker": ("KeyPicker",),
    "etcd_watcher.widgets.key_tree": ("KeyTree",),
    "etcd_watcher.widgets.revision_slider": ("RevisionSlider",),
    "etcd_watcher.widgets.status_bar": ("StatusBar",),
    "etcd_watcher.widgets.timeline": ("Timeline",),
    "etcd_watcher.widgets.value_diff": ("ValueDiff",),
    "etcd_watcher.widgets.subscriber_picker": ("SubscriberPicker",),
    "etcd_watcher.widgets.value_editor": ("ValueEditor",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
