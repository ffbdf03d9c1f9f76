"""What a notebook keeps of each widget that was made with `save_state=True`: escaped, and bounded."""

from __future__ import annotations

import pytest

from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets import EventLog, KeyTree, StatusBar, Timeline, ValueDiff
from etcd_watcher.widgets.base import LiveWidget
from tests.fake_store import event

HOSTILE = b"<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("kind", [EventLog, KeyTree, StatusBar, Timeline, ValueDiff])
def test_it_is_escaped_and_bounded(kind: type[LiveWidget], fake_watcher: Watcher) -> None:
    settings = {"only": HOSTILE.decode()} if kind is ValueDiff else {}
    widget = kind(fake_watcher, **settings)
    for revision in range(1, 1001):
        fake_watcher.journal.append([event(revision, HOSTILE, HOSTILE + b"%d" % revision)])
        fake_watcher.journal.append([event(revision, b"k%d" % revision, HOSTILE * 1000)])
    widget.draw(0.0)
    html = widget._saved_html()
    assert html is not None
    assert "<img" not in html
    assert len(html) < 300_000
    if kind is not StatusBar:
        assert "onerror" in html
