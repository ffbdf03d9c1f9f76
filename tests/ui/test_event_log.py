"""`EventLog` as a person uses it: with the mouse, with the keyboard, while a cell runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import NotebookPage
from tests.ui.looks import in_both_themes, take_picture
from tests.ui.parts import button, grid, rows, shown

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
import time
from etcd_watcher import Watcher
from etcd_watcher.widgets import EventLog, StatusBar
watcher = Watcher({url!r}, api="v3")
watcher.add_key("", prefix=True)
log = EventLog(watcher, height=8)
"""


@pytest.fixture
def server() -> Iterator[LocalEtcd]:
    with LocalEtcd() as server:
        yield server


def test_filter_pause_open_and_save(open_cells: Open, server: LocalEtcd, tmp_path: Path) -> None:
    notebook = open_cells(SET_UP.format(url=server.url), "log")
    page = notebook.page
    notebook.run_all()
    server.put("config/app", json.dumps({"name": "shop", "replicas": 2}))
    server.put("config/app", json.dumps({"name": "shop", "replicas": 3}))
    server.put("door", "open")
    server.delete("door")
    shown(page, "4 shown of 4")

    # Filters take hold while it is live.
    page.get_by_role("searchbox", name="Key").fill("DOOR".lower())
    shown(page, "2 shown of 4")
    expect(rows(grid(page)).filter(has_text="deleted")).to_be_visible()
    server.put("door", "ajar")
    shown(page, "3 shown of 5")
    button(page, "+ created").click()
    shown(page, "1 shown of 5")
    expect(button(page, "+ created")).to_have_attribute("aria-pressed", "false")
    button(page, "+ created").click()
    page.get_by_role("searchbox", name="Key").fill("")
    page.get_by_role("searchbox", name="Value").fill("replicas")
    shown(page, "2 shown of 5")

    # The keyboard opens an event.
    grid(page).focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    pane = page.get_by_role("region", name="Opened event")
    expect(pane).to_contain_text("revision3")
    changed = pane.get_by_role("region", name="What changed")
    expect(changed).to_contain_text('removed:   "replicas": 2')
    expect(changed).to_contain_text('added:   "replicas": 3')
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    pane.get_by_role("button", name="Copy as Python").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == """watcher.put('config/app', '{"name": "shop", "replicas": 3}')"""
    page.keyboard.press("Escape")
    expect(pane).to_be_hidden()
    expect(grid(page)).to_be_focused()

    check_saved_files(page)

    # The page is loaded anew: the same rows under the same filter; a second view as well.
    notebook.save_and_reload()
    shown(page, "2 shown of 5")
    assert page.get_by_role("searchbox", name="Value").input_value() == "replicas"
    notebook.run_new_cell("log")
    expect(grid(page)).to_have_count(2)
    expect(page.locator(".ew-counted").last).to_contain_text("2 shown of 5")
    page.get_by_role("searchbox", name="Value").last.fill("")
    expect(page.locator(".ew-counted").first).to_contain_text("5 shown of 5")
    for theme in in_both_themes(page):
        take_picture(page, f"event-log-{theme}", tmp_path)


def check_saved_files(page: Page) -> None:
    """What is saved is what is shown."""
    with page.expect_download() as download:
        button(page, "Save what is shown as CSV").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        saved = list(csv.DictReader(file))
    assert [(row["revision"], row["type"], row["key"]) for row in saved] == [
        ("2", "created", "config/app"),
        ("3", "modified", "config/app"),
    ]
    with page.expect_download() as download:
        button(page, "Save what is shown as JSON lines").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert [json.loads(line)["revision"] for line in lines] == [2, 3]


def test_it_is_used_while_a_cell_runs(open_cells: Open, server: LocalEtcd) -> None:
    notebook = open_cells(SET_UP.format(url=server.url), "log")
    page = notebook.page
    notebook.run_all()
    notebook.run_new_cell("time.sleep(60)", wait=False)
    for number in range(300):
        server.put(f"key-{number:03d}", f"value {number}")
    shown(page, "300 shown of 300")
    expect(rows(grid(page)).filter(has_text="key-299")).to_be_visible()

    # Scrolled back, it stays there although more comes; rows that the page has not are asked for.
    expect(button(page, "Follow")).to_have_attribute("aria-pressed", "true")
    grid(page).focus()
    page.keyboard.press("Home")
    expect(rows(grid(page)).filter(has_text="key-000")).to_be_visible()
    expect(button(page, "Follow")).to_have_attribute("aria-pressed", "false")
    server.put("key-300", "one more")
    shown(page, "301 shown of 301")
    expect(rows(grid(page)).filter(has_text="key-000")).to_be_visible()
    assert rows(grid(page)).count() < 30, "only what is in sight is in the page"
    button(page, "Follow").click()
    expect(rows(grid(page)).filter(has_text="key-300")).to_be_visible()

    # Paused, nothing comes; going on, all of it.
    button(page, "Pause").click()
    shown(page, "paused, 0 waiting")
    server.put("key-301", "while paused")
    shown(page, "paused, 1 waiting")
    expect(rows(grid(page)).filter(has_text="key-301")).to_have_count(0)
    button(page, "Resume").click()
    expect(rows(grid(page)).filter(has_text="key-301")).to_be_visible()
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    notebook.wait_for_kernel()


def test_the_changes_of_a_transaction_are_told_as_one(open_cells: Open, server: LocalEtcd) -> None:
    notebook = open_cells(SET_UP.format(url=server.url), "log")
    notebook.run_all()
    notebook.run_new_cell(
        """
        for name in "abc":
            watcher.put(f"t/{name}", "x")
        watcher.delete("t/", prefix=True)
        """
    )
    third = rows(grid(notebook.page)).filter(has_text="deleted").filter(has_text="t/c")
    expect(third).to_contain_text("change 3 of 3 in one transaction")
    notebook.run_new_cell(
        """
        from etcd_watcher import Gap
        watcher.journal.append([Gap(5, 9, "compacted at revision 10")])
        """
    )
    gap = rows(grid(notebook.page)).filter(has_text="! gap")
    expect(gap).to_contain_text("revisions 5 to 9 are lost: compacted at revision 10")


def test_a_server_that_is_killed_and_comes_back_is_told_each_time(
    open_cells: Open, server: LocalEtcd
) -> None:
    notebook = open_cells(SET_UP.format(url=server.url), "StatusBar(watcher)", "log")
    page = notebook.page
    notebook.run_all()
    bar = page.locator(".ew-status")
    said = bar.get_by_role("status")
    expect(bar.get_by_text("connected", exact=True)).to_be_visible()
    for time in (1, 2):
        server.put("before", f"kill {time}")
        server.kill()
        expect(bar.get_by_text("reconnecting", exact=True)).to_be_visible()
        expect(bar).to_contain_text("next try in")
        expect(said).to_contain_text("etcd: reconnecting: ")
        expect(rows(grid(page)).filter(has_text="reconnecting")).to_have_count(time)
        server.start()
        expect(bar.get_by_text("connected", exact=True)).to_be_visible()
        expect(said).to_contain_text("etcd: connected to http://127.0.0.1")
        server.put("after", f"kill {time}")
        expect(rows(grid(page)).filter(has_text=f"kill {time}")).to_have_count(2)
    notebook.run_new_cell(
        """
        from etcd_watcher import Event, Status
        shown = [each for each in log.records if not isinstance(each, Status)]
        print([(each.key, each.value) for each in shown if isinstance(each, Event)], len(shown))
        """
    )
    told = [(key, f"kill {time}") for time in (1, 2) for key in ("before", "after")]
    assert notebook.outputs()[-1][0]["text"] == f"{told} 4\n", "nothing is lost, and no gap"


def test_running_the_cell_again_leaves_one_widget_and_one_thread(
    open_cells: Open, server: LocalEtcd
) -> None:
    notebook = open_cells(
        SET_UP.format(url=server.url),
        "EventLog(watcher)",
        """
        import threading
        from etcd_watcher.widgets.renderer import renderer
        drawn = sorted(map(repr, renderer.views))
        ours = [each.name for each in threading.enumerate() if "renderer" in each.name]
        print(drawn, ours)
        """,
    )
    notebook.run_all()
    for _ in range(5):
        notebook.run_cell(1)
    expect(grid(notebook.page)).to_have_count(1)
    notebook.run_cell(2)
    told = notebook.outputs()[2][0]["text"]
    assert told == "['EventLog()', 'EventLog(height=8)'] ['etcd_watcher-renderer']\n"
    notebook.run_cell(0)
    notebook.run_cell(2)
    told = notebook.outputs()[2][0]["text"]
    assert told == "['EventLog()', 'EventLog(height=8)'] ['etcd_watcher-renderer']\n"


def test_a_saved_notebook_holds_no_value_unless_it_was_told_to(
    open_cells: Open, server: LocalEtcd
) -> None:
    notebook = open_cells(
        SET_UP.format(url=server.url), "log", "EventLog(watcher, save_state=True, height=5)"
    )
    page = notebook.page
    notebook.run_cell(0)
    notebook.run_cell(1)
    server.put("secret-key", "secret-value")
    shown(page, "1 shown of 1")
    rows(grid(page)).filter(has_text="secret-value").click()
    expect(page.get_by_role("region", name="Opened event")).to_contain_text("secret-value")
    assert "secret" not in notebook.saved()
    notebook.run_cell(2)
    server.put("another-key", "another-value")
    expect(page.locator(".ew-counted").last).to_contain_text("2 shown of 2")
    saved = page.locator(".ew-saved")
    expect(saved).to_contain_text("another-value")
    expect(saved).to_be_hidden()
    assert "another-value" in notebook.saved()
