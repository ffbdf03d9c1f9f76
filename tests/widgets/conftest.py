"""Widgets without a kernel: what they would send to a page is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from etcd_watcher.event import Status
from etcd_watcher.journal import Journal
from etcd_watcher.stores.base import Cluster
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.base import LiveWidget
from etcd_watcher.widgets.renderer import renderer


class FakeWatcher:
    """Has what a widget reads of a watcher."""

    def __init__(self, **journal: Any) -> None:
        self.journal = Journal(**journal)
        self.status = Status("connected", "http://127.0.0.1:2379")
        self.api = "v3"
        self.endpoints = ("http://127.0.0.1:2379",)
        self.revision = 0
        self.keys: list[str] = []

    def cluster(self) -> Cluster:
        return Cluster("3.5.1", 1, (), 0)


def kept_by_a_notebook(widget: LiveWidget) -> str:
    """Give all that a notebook saves of a widget that was displayed."""
    saved = widget._saved_html() if widget.save_state else ""
    return f"{widget._repr_mimebundle_()[0]}{saved}{widget.get_state()}"


@pytest.fixture
def fake_watcher() -> Watcher:
    return cast("Watcher", FakeWatcher())


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[LiveWidget, dict[str, Any]]]]:
    """Keep what each widget sends, and draw by hand: no thread runs."""
    messages: list[tuple[LiveWidget, dict[str, Any]]] = []

    def keep(widget: LiveWidget, content: dict[str, Any], buffers: object = None) -> None:
        messages.append((widget, content))

    monkeypatch.setattr(LiveWidget, "send", keep)
    monkeypatch.setattr(renderer, "add", lambda view: None)
    yield messages
    renderer.close()
    asker.close()
