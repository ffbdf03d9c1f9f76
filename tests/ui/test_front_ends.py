"""The dashboard outside of JupyterLab, and what a notebook holds that is saved with widget state.

Notebook 7 and Voila are driven as a person does, by what is to be read on the page.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from etcd_watcher import LocalEtcd
from etcd_watcher.local.ports import free_ports
from tests.notebooks.save import METADATA
from tests.processes import processes_with
from tests.ui.lab import (
    CELLS_SECONDS,
    HARMLESS,
    START_SECONDS,
    STOP_SECONDS,
    Lab,
    NotebookPage,
    wait_until,
)
from tests.ui.looks import take_picture

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Subscriber, Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({url!r}, api="v3")
luis = Subscriber("Luis")
watcher.register("nokia", luis, "do_things")
Dashboard(watcher{settings})
"""

PATIENCE = CELLS_SECONDS * 1000

ITS_OWN = ("reading 'schema'", "'filebrowser:open-path' not registered")
"""Notebook 7.6 throws the first at every start, with any notebook, and on a busy machine the other."""


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        yield etcd


@pytest.fixture
def caught(page: Page) -> Iterator[list[str]]:
    """What nothing in the page caught: nothing, in the end."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack}"))
    yield errors
    assert not [each for each in errors if not any(own in each for own in (*ITS_OWN, HARMLESS))]


def make_notebook(lab: Lab, etcd: LocalEtcd, settings: str = "") -> Path:
    """Make a notebook with a dashboard, in the folder that the server serves."""
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[
            nbformat.v4.new_code_cell(SET_UP.format(url=etcd.url, settings=settings))  # type: ignore[no-untyped-call]
        ],
        metadata=METADATA,
    )
    path = lab.folder / "front-end.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return path


def check(page: Page, etcd: LocalEtcd) -> None:
    """See an event arrive, and tick a box."""
    whole = page.get_by_role("region", name="etcd dashboard")
    expect(whole).to_contain_text("connected", timeout=PATIENCE)
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


def listening_session(lab: Lab, path: Path) -> str | None:
    """Give the session of a notebook once its page is connected to a kernel that is idle."""
    url = f"{lab.url}api/sessions"
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
        sessions = json.load(answer)
    for each in sessions:
        kernel = each["kernel"]
        if each["path"] == path.name and kernel["connections"] >= 1:
            return str(each["id"]) if kernel["execution_state"] == "idle" else None
    return None


def end_session(page: Page, lab: Lab, session: str) -> None:
    """Shut the kernel down, as a person does who leaves for good."""
    page.evaluate(
        """address => fetch(address, { method: 'DELETE', headers: {
            'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1] } })""",
        f"{lab.url}api/sessions/{session}",
    )


@pytest.fixture
def notebook7(page: Page, lab: Lab, etcd: LocalEtcd, caught: list[str]) -> Iterator[Page]:
    """A notebook with a dashboard, run in Notebook 7."""
    path = make_notebook(lab, etcd)
    page.goto(f"{lab.url}notebooks/{path.name}", timeout=PATIENCE)
    menu = page.get_by_role("menuitem", name="Run", exact=True)
    expect(menu).to_be_visible(timeout=PATIENCE)
    # What is asked to run before there is a kernel to do it is dropped without a word.
    session = wait_until(
        lambda: listening_session(lab, path), CELLS_SECONDS, "the page has no kernel"
    )
    menu.click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    yield page
    end_session(page, lab, session)


def test_it_works_in_notebook_7(notebook7: Page, etcd: LocalEtcd, tmp_path: Path) -> None:
    check(notebook7, etcd)
    take_picture(notebook7, "notebook7", tmp_path)


def test_it_works_in_voila(
    page: Page, lab: Lab, etcd: LocalEtcd, caught: list[str], tmp_path: Path
) -> None:
    path = make_notebook(lab, etcd)
    page.goto(f"{lab.url}voila/render/{path.name}", timeout=PATIENCE)
    check(page, etcd)
    take_picture(page, "voila", tmp_path)


@pytest.fixture
def address(etcd: LocalEtcd, tmp_path: Path) -> Iterator[str]:
    """Where `etcd-watcher dashboard` has its page."""
    log = tmp_path / "log.txt"
    port = str(free_ports(1)[0])
    command = [sys.executable, "-m", "etcd_watcher", "dashboard", "nokia", "--no-browser"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", port, "--endpoints", etcd.url, "--api", "v3"],
            env=os.environ | {"ETCD_WATCHER_PAGE_OF": etcd.url},
            stdout=output,
            stderr=output,
        )

    def printed() -> str | None:
        assert process.poll() is None, log.read_text()
        found = [word for word in log.read_text().split() if "?token=" in word]
        return found[0] if found else None

    try:
        yield wait_until(printed, START_SECONDS, f"no address; see {log}")
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


@pytest.mark.slow
def test_the_command_has_a_page_of_its_own(
    page: Page, address: str, etcd: LocalEtcd, caught: list[str], tmp_path: Path
) -> None:
    page.goto(address, timeout=PATIENCE)
    whole = page.get_by_role("region", name="etcd dashboard")
    expect(whole).to_contain_text("connected", timeout=PATIENCE)
    page.get_by_role("textbox", name="New subscriber").fill("Ana")
    page.get_by_role("textbox", name="New subscriber").press("Enter")
    page.get_by_role("checkbox", name="Ana is told of nokia").check()
    card = page.get_by_role("region", name="Ana", exact=True)
    expect(card).to_contain_text("nokia → do_things")
    etcd.put("nokia", "news")
    expect(card).to_contain_text("Ana: nokia = news")
    take_picture(page, "command", tmp_path)

    # Each page has a kernel of its own, which goes with it.
    def kernels(number: int) -> bool | None:
        return len(processes_with("ETCD_WATCHER_PAGE_OF", etcd.url)) == 1 + number or None

    wait_until(lambda: kernels(1), STOP_SECONDS, "the page has one kernel")
    page.reload(timeout=PATIENCE)
    expect(whole).to_contain_text("connected", timeout=PATIENCE)
    wait_until(lambda: kernels(1), STOP_SECONDS, "the page before it had another")
    page.close(run_before_unload=True)
    wait_until(lambda: kernels(0), STOP_SECONDS, "the page is closed")


@pytest.mark.parametrize("save_state", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_saved_widget_state_holds_no_key_and_no_value_that_nobody_asked_for(
    open_cells: Open, etcd: LocalEtcd, *, save_state: bool
) -> None:
    settings = ", save_state=True" if save_state else ""
    source = SET_UP.format(url=etcd.url, settings=settings).replace("nokia", "secret-key")
    notebook = open_cells(source)
    toggle = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
    notebook.page.evaluate("toggle => window.jupyterapp.commands.execute(toggle)", toggle)
    try:
        notebook.run_all()
        etcd.put("secret-key", "secret-value")
        card = notebook.page.get_by_role("region", name="Luis", exact=True)
        expect(card).to_contain_text("secret-value")
        if save_state:  # the last state is put down when things have calmed down
            saved = wait_until(
                lambda: found if "secret-value" in (found := notebook.saved()) else None, 20, "…"
            )
        else:
            saved = notebook.saved()
    finally:
        notebook.page.evaluate("toggle => window.jupyterapp.commands.execute(toggle)", toggle)
    widget_state = json.loads(saved)["metadata"]["widgets"]
    assert widget_state["application/vnd.jupyter.widget-state+json"]["state"], "nothing was saved"
    assert "secret" not in json.dumps(widget_state)
    if not save_state:
        assert "secret-value" not in saved
        assert saved.count("secret-key") == source.count("secret-key"), "only where the cell has it"
