"""The one thread of a kernel that draws all widgets, at most so often, whatever the flood.

Measured with 2,000 events/s in JupyterLab 4.6: a trait set at every event may end stale for good,
because the server drops every message past 1,000/s; a call on the kernel's loop stands still while
a cell runs. A thread of its own that draws a few times a second shows everything, live.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import Protocol

from etcd_watcher.log import logger

__all__ = ["TICK", "Renderer", "View", "renderer"]

TICK = 0.06
"""Seconds from one drawing to the next: below 20 a second, with room for jitter on the way."""


class View(Protocol):
    """What the renderer draws: a widget, or anything else that shows a little at a time."""

    def draw(self, now: float) -> None:
        """Show what is new, in one message at most, and quickly: all views share the thread.

        Called with the renderer's lock held. `now` is in seconds of `time.monotonic`.
        """
        ...


class Renderer:
    """Draws its views in turn, on a thread that is there while there is a view.

    Attributes
    ----------
    lock : threading.RLock
        Guards the state of all widgets: the renderer holds it while one draws, and whatever else
        reads or changes that state (a button, a message from the page, a method) takes it too.
        Never wait for a thread or a server while holding it.
    """

    def __init__(self, tick: float = TICK) -> None:
        self.lock = threading.RLock()
        self._tick = tick
        self._changed = threading.Condition(self.lock)
        """Notified when the thread has to end."""
        self._views: dict[View, None] = {}
        self._thread: threading.Thread | None = None

    def add(self, view: View) -> None:
        """Draw a view from now on."""
        with self.lock:
            self._views[view] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="etcd_watcher-renderer", daemon=True
                )
                self._thread.start()

    def remove(self, view: View) -> None:
        """Draw a view no more; with the last one the thread ends. Of an unknown one: nothing."""
        with self.lock:
            self._views.pop(view, None)
            if self._views or self._thread is None:
                return
            ended, self._thread = self._thread, None
            self._changed.notify_all()
        if ended is not threading.current_thread():
            ended.join()

    def close(self) -> None:
        """Draw nothing any more."""
        for view in self.views:
            self.remove(view)

    @property
    def views(self) -> list[View]:
        """What is being drawn."""
        with self.lock:
            return list(self._views)

    def _run(self) -> None:
        with self.lock:
            while self._thread is threading.current_thread():
                began = time.monotonic()
                for view in list(self._views):
                    self._draw(view, began)
                # At least a third of the time belongs to the cells.
                spent = time.monotonic() - began
                self._changed.wait(max(self._tick - spent, spent / 2, 0.001))

    def _draw(self, view: View, now: float) -> None:
        if view not in self._views:
            return  # removed by one that was drawn before it
        try:
            view.draw(now)
        except Exception:  # whatever one view does, the others are drawn
            logger.exception(
                "%s could not be drawn, and is not drawn any more", type(view).__name__
            )
            self._views.pop(view, None)


renderer = Renderer()
"""The kernel's one renderer."""

# A daemon's thread that still sends while the interpreter goes down can take it along.
atexit.register(renderer.close)
