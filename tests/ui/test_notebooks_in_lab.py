"""The notebooks as a newcomer sees them: JupyterLab, "Run all", and everybody gets their news."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.lab import ROOT, NotebookPage

IN_SHORT = {"01-walkthrough", "03-widgets"}
"""The first that anybody opens, and the one that is about what one sees. The others run as often,
in a kernel without a browser, in tests/notebooks."""

NOTEBOOKS = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in IN_SHORT else pytest.mark.slow)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
]
WALKTHROUGH = ROOT / "notebooks/01-walkthrough.ipynb"
IMAGE = ROOT / "docs/images/walkthrough.png"

pytestmark = pytest.mark.ui

Open = Callable[[Path], NotebookPage]


def texts(outputs: list[list[dict[str, Any]]]) -> list[list[str]]:
    """Give each cell's outputs as text: what is printed, and what results read like."""
    return [
        [
            "".join(each["text"] if each["output_type"] == "stream" else each["data"]["text/plain"])
            for each in cell
        ]
        for cell in outputs
    ]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_runs_and_runs_again_in_the_same_kernel(path: Path, open_notebook: Open) -> None:
    notebook = open_notebook(path)
    notebook.run_all()
    assert not notebook.errors()
    assert not notebook.never_run()
    first = texts(notebook.outputs())
    notebook.run_all()
    assert not notebook.errors()
    assert texts(notebook.outputs()) == first, "a second run tells something else"


def test_the_walkthrough_shows_the_news_of_each_subscriber(
    open_notebook: Open, tmp_path: Path
) -> None:
    notebook = open_notebook(WALKTHROUGH)
    notebook.run_all()
    printed = notebook.page.locator(".jp-OutputArea-output pre")
    for name in ["Luis", "Antonio", "Juan"]:
        news = printed.filter(has_text=f"{name}: ").last
        news.scroll_into_view_if_needed()
        assert news.is_visible(), f"{name} got no news"
    # For the picture: from the first news on.
    printed.filter(has_text="Antonio: ").first.evaluate(
        "line => line.closest('.jp-Cell').scrollIntoView({block: 'start'})"
    )
    image = IMAGE if os.environ.get("UPDATE_IMAGES") == "1" else tmp_path / IMAGE.name
    image.parent.mkdir(parents=True, exist_ok=True)
    notebook.page.screenshot(path=image)
