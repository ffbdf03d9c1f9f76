"""The walkthrough as a newcomer sees it: JupyterLab, "Run all", and the three get their news."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ui.lab import ROOT, NotebookPage

WALKTHROUGH = ROOT / "notebooks/01-walkthrough.ipynb"
IMAGE = ROOT / "docs/images/walkthrough.png"

pytestmark = pytest.mark.ui


def test_run_all_shows_the_news_of_each_subscriber(
    open_notebook: Callable[[Path], NotebookPage], tmp_path: Path
) -> None:
    notebook = open_notebook(WALKTHROUGH)
    notebook.run_all()
    assert not notebook.errors()
    assert not notebook.never_run()
    printed = notebook.page.locator(".jp-OutputArea-output pre")
    for name in ["Luis", "Antonio", "Juan"]:
        news = printed.filter(has_text=name).last
        news.scroll_into_view_if_needed()
        assert news.is_visible(), f"{name} got no news"
    image = IMAGE if os.environ.get("UPDATE_IMAGES") == "1" else tmp_path / IMAGE.name
    image.parent.mkdir(parents=True, exist_ok=True)
    notebook.page.screenshot(path=image)
