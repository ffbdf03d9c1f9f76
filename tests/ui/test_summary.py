"""`watcher` as a cell's last expression: in short, and live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import NotebookPage
from tests.ui.looks import faults, in_both_themes, take_picture

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Subscriber, Watcher
watcher = Watcher({url!r}, api="v3")
watcher.register("nokia", Subscriber("Luis"), "do_things")
watcher.add_key("shop/", prefix=True)
"""


def test_a_watcher_shows_itself_live_and_stays_as_it_was_when_it_is_closed(
    open_cells: Open, tmp_path: Path
) -> None:
    with LocalEtcd() as etcd:
        notebook = open_cells(SET_UP.format(url=etcd.url), "watcher", "watcher.close()")
        page = notebook.page
        notebook.run_cell(0)
        notebook.run_cell(1)
        summary = page.get_by_role("region", name="Watcher", exact=True)
        expect(summary.get_by_role("status")).to_have_text("connected")
        expect(summary.get_by_role("table", name="Watched keys")).to_contain_text("Luis")
        etcd.put("shop/milk", "<b>quark</b>")
        expect(summary.get_by_role("table", name="Last changes")).to_contain_text("<b>quark</b>")
        for theme in in_both_themes(page):
            assert not faults(page), theme
        take_picture(summary, "summary", tmp_path)
        notebook.run_cell(2)
        expect(summary.get_by_role("status")).to_have_text("closed")
        notebook.save_and_reload()
        expect(summary).to_contain_text("<b>quark</b>")
        assert "quark" not in notebook.saved()  # a word that no script has
