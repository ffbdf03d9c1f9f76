"""A real JupyterLab in a real browser.

pytest-playwright drives the Chromium that the system has: the one that CHROMIUM names, or the first
on PATH. Without one the tests are skipped; in CI that is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page

from tests.notebooks.save import METADATA
from tests.ui.lab import Lab, NotebookPage, running_lab

CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    paths = [os.environ.get("CHROMIUM"), *map(shutil.which, CHROMIUM_NAMES)]
    found = next(filter(None, paths), None)
    if found is None:
        missing = "no Chromium on PATH (Debian: apt install chromium), and CHROMIUM names none"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return browser_type_launch_args | {
        "executable_path": found,
        "args": [
            "--no-sandbox",  # root, as in CI, gets no sandbox
            "--disable-dev-shm-usage",  # small in containers
            "--disable-background-networking",
        ],
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"viewport": {"width": 1100, "height": 800}}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def open_notebook(page: Page, lab: Lab) -> Iterator[Callable[[Path], NotebookPage]]:
    """Open a copy of a notebook without its saved outputs; the original stays as it is.

    In the end the page has caught all its exceptions, and asked nobody but its own server.
    """
    opened: list[NotebookPage] = []

    def open_copy(notebook: Path) -> NotebookPage:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        copy = lab.folder / notebook.name
        copy.write_text(json.dumps(content), encoding="utf-8")
        opened.append(NotebookPage(page, lab, copy))
        return opened[-1]

    yield open_copy
    for notebook in opened:
        notebook.close()
        assert not notebook.page_errors
        assert not notebook.abroad


@pytest.fixture
def open_cells(
    open_notebook: Callable[[Path], NotebookPage], tmp_path: Path
) -> Callable[..., NotebookPage]:
    """Open a notebook that has these code cells."""

    def open_new(*sources: str) -> NotebookPage:
        notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
            cells=[
                nbformat.v4.new_code_cell(textwrap.dedent(each).strip())  # type: ignore[no-untyped-call]
                for each in sources
            ],
            metadata=METADATA,
        )
        path = tmp_path / "cells.ipynb"
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        return open_notebook(path)

    return open_new
