"""A real JupyterLab in a real browser.

pytest-playwright drives the Chromium that the system has: the one that CHROMIUM names, or the first
on PATH. Without one the tests are skipped; in CI that is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, BrowserContext, ViewportSize, expect

from tests.notebooks.save import METADATA
from tests.ui.lab import Lab, NotebookPage, running_lab
from tests.ui.looks import change_theme

expect.set_options(timeout=20_000)  # milliseconds, on two busy cores

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


@pytest.fixture(scope="session")
def tabs(browser: Browser, browser_context_args: dict[str, Any]) -> Iterator[BrowserContext]:
    """One browser for all tests: what JupyterLab is made of is fetched and compiled once."""
    context = browser.new_context(**browser_context_args)
    yield context
    context.close()


@pytest.fixture
def open_notebook(tabs: BrowserContext, lab: Lab) -> Iterator[Callable[[Path], NotebookPage]]:
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
        for recording in notebook.parent.glob("*.jsonl"):  # what a lesson looks at
            (lab.folder / recording.name).write_bytes(recording.read_bytes())
        opened.append(NotebookPage(tabs.new_page(), lab, copy))
        return opened[-1]

    yield open_copy
    for notebook in opened:
        notebook.close()
        assert not notebook.page_errors
        assert not notebook.abroad


class Workbench:
    """One notebook that the tests use in turn: a page takes seconds to load, a kernel half of one."""

    def __init__(self, context: BrowserContext, lab: Lab, size: ViewportSize) -> None:
        self._context = context
        self._size = size
        self._lab = lab
        self._notebook: NotebookPage | None = None

    def open(self, sources: Sequence[str]) -> NotebookPage:
        """Have a notebook of these code cells, a fresh kernel, and the light theme."""
        if self._notebook is None:
            path = self._lab.folder / "cells.ipynb"
            empty = nbformat.v4.new_notebook(metadata=METADATA)  # type: ignore[no-untyped-call]
            nbformat.write(empty, path)  # type: ignore[no-untyped-call]
            self._notebook = NotebookPage(self._context.new_page(), self._lab, path)
        self._notebook.page.set_viewport_size(self._size)
        change_theme(self._notebook.page, dark=False)
        self._notebook.start_over(sources)
        return self._notebook

    def close(self) -> None:
        """Leave the page; the next test gets a new one."""
        if self._notebook is not None:
            self._notebook.close()
            self._notebook = None


@pytest.fixture(scope="session")
def workbench(
    tabs: BrowserContext, lab: Lab, browser_context_args: dict[str, Any]
) -> Iterator[Workbench]:
    workbench = Workbench(tabs, lab, browser_context_args["viewport"])
    yield workbench
    workbench.close()


@pytest.fixture
def open_cells(
    workbench: Workbench, request: pytest.FixtureRequest
) -> Iterator[Callable[..., NotebookPage]]:
    """Open a notebook that has these code cells, one a test."""
    opened: list[NotebookPage] = []
    failed = request.session.testsfailed

    def open_new(*sources: str) -> NotebookPage:
        assert not opened, "one a test"
        opened.append(workbench.open(sources))
        return opened[0]

    yield open_new
    errors = [error for notebook in opened for error in notebook.page_errors]
    abroad = [address for notebook in opened for address in notebook.abroad]
    if request.session.testsfailed > failed or errors:
        workbench.close()  # who knows what it was left in
    assert not errors
    assert not abroad
