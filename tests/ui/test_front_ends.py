"""The dashboard outside of JupyterLab, and what a notebook holds that is saved with widget state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nbformat
import pytest
from playwright.sync_api import Page, expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import CELLS_SECONDS, Lab, NotebookPage

pytestmark = [pytest.mark.ui, pytest.mark.slow]

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Subscriber, Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({url!r}, api="v3")
luis = Subscriber("Luis")
watcher.register("nokia", luis, "do_things")
Dashboard(watcher)
"""


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        yield etcd


@pytest.fixture
def path(lab: Lab, etcd: LocalEtcd) -> str:
    """A notebook with a dashboard, in the folder that the server serves."""
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(SET_UP.format(url=etcd.url))]  # type: ignore[no-untyped-call]
    )
    nbformat.write(notebook, lab.folder / "front-end.ipynb")  # type: ignore[no-untyped-call]
    return "front-end.ipynb"


def check(page: Page, etcd: LocalEtcd) -> None:
    """See an event arrive, and tick a box."""
    whole = page.get_by_role("region", name="etcd dashboard")
    expect(whole).to_contain_text("connected", timeout=CELLS_SECONDS * 1000)
    expect(page.get_by_role("checkbox", name="Luis is told of nokia")).to_be_checked()
    etcd.put("nokia", "<b>news</b>")
    card = page.get_by_role("region", name="Luis", exact=True)
    expect(card).to_contain_text("Luis: nokia = <b>news</b>")
    page.get_by_role("combobox", name="Watch a key").fill("redhat")
    page.get_by_role("combobox", name="Watch a key").press("Enter")
    page.get_by_role("checkbox", name="Luis is told of redhat").check()
    expect(card).to_contain_text("redhat → do_things")
    etcd.put("redhat", "more news")
    expect(card).to_contain_text("Luis: redhat = more news")


def test_it_works_in_voila(page: Page, lab: Lab, path: str, etcd: LocalEtcd) -> None:
    page.goto(f"{lab.url}voila/render/{path}", timeout=CELLS_SECONDS * 1000)
    check(page, etcd)


def test_saving_widget_state_saves_no_key_and_no_value(open_cells: Open, etcd: LocalEtcd) -> None:
    notebook = open_cells(SET_UP.format(url=etcd.url).replace("nokia", "secret-key"))
    toggle = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
    notebook.page.evaluate("toggle => window.jupyterapp.commands.execute(toggle)", toggle)
    try:
        notebook.run_all()
        etcd.put("secret-key", "secret-value")
        card = notebook.page.get_by_role("region", name="Luis", exact=True)
        expect(card).to_contain_text("secret-value")
        saved = notebook.saved()
    finally:
        notebook.page.evaluate("toggle => window.jupyterapp.commands.execute(toggle)", toggle)
    assert "application/vnd.jupyter.widget-state+json" in saved, "nothing was saved at all"
    assert "secret-value" not in saved
    assert saved.count("secret-key") == SET_UP.count("nokia"), "only where the cell has it"
