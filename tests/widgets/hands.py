"""Tests' hands on a widget: draw it, say what a page would, and wait for its errands."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from etcd_watcher.widgets.base import LiveWidget
from etcd_watcher.widgets.renderer import renderer

PATIENCE = 10.0


class Hands:
    """Holds one widget, and what its page would know of it."""

    def __init__(self, widget: LiveWidget) -> None:
        self.widget = widget
        self.state: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self._now = 100.0
        widget.send = self._take
        self.draw()

    def _take(self, content: dict[str, Any], buffers: object = None) -> None:
        json.dumps(content, ensure_ascii=False).encode()  # as Jupyter does: no half characters
        self.messages.append(content)
        self.state |= content

    def draw(self, seconds: float = 1.0) -> None:
        """Draw once, some time after the last drawing."""
        self._now += seconds
        with renderer.lock:
            self.widget.draw(self._now)

    def say(self, **message: Any) -> None:
        """Say something as the page would."""
        self.widget._take(self.widget, message, [])

    def wait(self, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Draw until what the page knows is as it should be."""
        end, pause = time.monotonic() + PATIENCE, threading.Event()
        while not holds(self.state):
            assert time.monotonic() < end, f"the page knows {self.state}"
            pause.wait(0.005)
            self.draw()
        return self.state

    def ask(self, **message: Any) -> dict[str, Any]:
        """Say something, and wait until it is done."""
        done = self.state["done"]
        self.say(**message)
        return self.wait(lambda state: state["done"] > done and state["busy"] == 0)
