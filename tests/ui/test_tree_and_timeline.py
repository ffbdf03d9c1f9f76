"""`KeyTree`, `Timeline`, `EventLog` and `ValueDiff` on one page, each following the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from etcd_watcher import LocalEtcd
from etcd_watcher.endpoints import Credentials
from etcd_watcher.stores.v3_connection import Connection
from tests.ui.flood import put_together
from tests.ui.lab import NotebookPage
from tests.ui.looks import in_both_themes, take_picture
from tests.ui.parts import button, cells, grid, node, rows, shown, tree

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
import time, traitlets
from etcd_watcher import Watcher
from etcd_watcher.widgets import EventLog, KeyTree, Timeline, ValueDiff
watcher = Watcher({url!r}, api="v3")
watcher.add_key("", prefix=True)
tree, timeline = KeyTree(watcher, height=9), Timeline(watcher)
log, diff = EventLog(watcher, height=6), ValueDiff(watcher)
for name in ("within", "only"):
    traitlets.link((tree, name), (log, name))
    traitlets.dlink((tree, name), (timeline, name))
traitlets.link((timeline, "between"), (log, "between"))
traitlets.dlink((log, "selected"), (diff, "event"))
"""

MANY = 320


@pytest.fixture(scope="module")
def etcd() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        connection = Connection(etcd.url, Credentials())
        for start in range(0, MANY, 100):  # etcd takes 128 changes in a transaction
            numbers = range(start, min(start + 100, MANY))
            put_together(connection, {b"many/%03d" % number: b"" for number in numbers})
        connection.close()
        etcd.put("nokia", "nokia news 0")
        etcd.put("sensors/door", "open")
        etcd.put("sensors/kitchen/temperature", "21")
        etcd.put("team:anna:role", "teacher")
        yield etcd


def opened(open_cells: Open, etcd: LocalEtcd, *widgets: str) -> NotebookPage:
    notebook = open_cells(SET_UP.format(url=etcd.url), *widgets)
    notebook.run_all()
    assert not notebook.errors()
    return notebook


WATCH_FLASHES = """() => {
    window.flashed = [];
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (...how) {
        window.flashed.push(this.innerText);
        return animate.apply(this, how);
    };
}"""


def flashed(page: Page, name: str) -> None:
    """Wait until a row of this name has lit up."""
    page.wait_for_function(
        "name => window.flashed.some(row => row.includes(name))", arg=name, timeout=20_000
    )


def check_that_a_large_folder_comes_in_parts(page: Page) -> None:
    """Only what is unfolded is known to the page, and only what is in sight is in it."""
    expect(node(page, "sensors/")).to_be_visible()
    expect(tree(page)).to_have_attribute("aria-rowcount", "6")  # with the head and the root
    expect(node(page, "door")).to_have_count(0)
    tree(page).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(tree(page)).to_have_attribute("aria-rowcount", str(6 + 300 + 1))
    expect(node(page, "000")).to_be_visible()
    assert rows(tree(page)).count() < 30
    for key in ("End", "ArrowUp", "ArrowUp", "ArrowUp"):  # team:…, sensors/, nokia, "more …"
        page.keyboard.press(key)
    expect(node(page, "more …")).to_be_visible()
    node(page, "more …").click()
    expect(tree(page)).to_have_attribute("aria-rowcount", str(6 + MANY))
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(tree(page)).to_have_attribute("aria-rowcount", "6")


def check_that_what_is_chosen_narrows_the_log(page: Page) -> None:
    node(page, "sensors/").click()
    expect(button(page, "Show all keys again, not within sensors/")).to_be_visible()
    expect(rows(grid(page)).filter(has_text="brief")).to_have_count(0)
    node(page, "temperature").click()
    shown(page, "2 shown of 6")
    button(page, "Show all keys again, not only sensors/kitchen/temperature").click()
    shown(page, "6 shown of 6")


def test_the_tree_unfolds_counts_flashes_and_counts_down(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = opened(open_cells, etcd, "tree", "log")
    page = notebook.page
    check_that_a_large_folder_comes_in_parts(page)

    # What is folded counts and tells what came last; what is in sight flashes.
    page.evaluate(WATCH_FLASHES)
    etcd.put("sensors/kitchen/temperature", "22")
    etcd.put("sensors/door", "closed")
    expect(node(page, "sensors/")).to_contain_text("door = closed")
    expect(node(page, "sensors/").get_by_role("gridcell").nth(3)).to_have_text("2")
    flashed(page, "sensors/")
    node(page, "sensors/").locator(".ew-twist").click()
    expect(node(page, "door")).to_contain_text("modified: closed")  # while it was folded
    assert cells(node(page, "sensors/"))[2:4] == ["2", "2"]
    node(page, "kitchen/").dblclick()
    expect(node(page, "temperature")).to_contain_text("22")
    etcd.put("sensors/kitchen/temperature", "23")
    flashed(page, "temperature")
    expect(node(page, "temperature")).to_contain_text("modified: 23")

    # A key on a lease says how long it lives, and that it is gone.
    notebook.run_new_cell("watcher.put('session', 'anna', ttl=90); watcher.put('brief', '', ttl=2)")
    left = node(page, "session").get_by_role("gridcell").nth(4)
    expect(left).to_have_text(re.compile(r"^\d\d s$"))
    before = int(left.inner_text().split()[0])
    page.wait_for_function(
        "([cell, before]) => parseInt(cell.innerText) < before - 1",
        arg=[left.element_handle(), before],
        timeout=20_000,
    )
    expect(node(page, "brief")).to_contain_text("expired")
    assert int(left.inner_text().split()[0]) < 90

    check_that_what_is_chosen_narrows_the_log(page)
    for theme in in_both_themes(page):
        take_picture(page.locator(".ew-tree"), f"key-tree-{theme}", tmp_path)

    # Another separator cuts the same keys elsewhere.
    notebook.run_new_cell("tree.root, tree.separator = 't', ':'")
    expect(tree(page)).to_have_attribute("aria-rowcount", "3")
    node(page, "eam:").locator(".ew-twist").click()
    expect(node(page, "anna:")).to_be_visible()


WRITE_FOR_A_WHILE = """
log.height = 8
timeline.seconds = 60
for number in range(16):
    if number == 8:
        middle = time.time()
    if number == 5:  # a peak that another number follows at once
        watcher.put("sensors/kitchen/temperature", "26")
    watcher.put("sensors/kitchen/temperature", str(20 + (number * 7) % 9 / 2))
    watcher.put("news/nokia", f"nokia news {number}")
    if number % 3 == 0:
        watcher.put("news/redhat", f"redhat news {number}")
    time.sleep(0.25)
watcher.sync()
print(middle)
"""


def timeline_row(page: Page, name: str) -> Locator:
    rows = page.get_by_role("list", name="Changes over time").get_by_role("listitem")
    return rows.filter(has_text=re.compile(rf"^{re.escape(name)}"))


def test_a_span_marked_in_the_timeline_selects_in_the_log(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = opened(open_cells, etcd, "timeline", "log")
    page = notebook.page
    expect(page.get_by_text("No change yet.").first).to_be_visible()
    notebook.run_new_cell(WRITE_FOR_A_WHILE)
    shown(page, "39 shown of 39")

    # Numbers are a curve, anything else is counted; each row tells its scale.
    warm = timeline_row(page, "sensors/kitchen/temperature")
    expect(warm).to_contain_text("a curve from 20 to 26")
    expect(timeline_row(page, "news/nokia")).to_contain_text("16 changes, at most")
    expect(timeline_row(page, "all keys")).to_contain_text("39 changes, at most")
    # Brush with the mouse, from the beginning to the middle of what happened: the window stands
    # still, and the log shows that span alone.
    warm.scroll_into_view_if_needed()
    box = warm.locator("canvas").bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 1, height)
    page.mouse.down()
    end = page.evaluate("Date.now() / 1000")  # of the window, which the mouse has stopped
    past = end - float(notebook.outputs()[-1][0]["text"])
    page.mouse.move(box["x"] + box["width"] * (1 - past / 60), height, steps=4)
    page.mouse.up()
    expect(page.get_by_text("the window stands still")).to_be_visible()
    again = button(page, re.compile("^Show all times again, not only"))
    expect(again).to_be_visible()
    expect(page.locator(".ew-counted")).to_contain_text(
        re.compile(r"^([1-9]|[12]\d|3[0-8]) shown of 39")
    )
    narrowed = int(page.locator(".ew-counted").inner_text().split()[0])
    assert narrowed < 39
    take_picture(page, "timeline-marked", tmp_path)

    # And with the keyboard: the end moves to the right, to the present.
    page.get_by_role("slider", name="end of the marked time").focus()
    page.keyboard.press("End")
    page.wait_for_function(
        "before => parseInt(document.querySelector('.ew-counted').innerText) > before",
        arg=narrowed,
        timeout=20_000,
    )
    page.keyboard.press("Escape")
    shown(page, "39 shown of 39")
    expect(again).to_be_hidden()

    # The window moves on all the while: what takes time comes behind what needs the events in it.
    for theme in in_both_themes(page):
        take_picture(page.locator(".ew-time"), f"timeline-{theme}", tmp_path)
    page.get_by_role("combobox", name="The last").select_option("5 min")
    expect(timeline_row(page, "all keys")).to_contain_text("39 changes")
    notebook.run_new_cell("print(timeline)")
    assert notebook.outputs()[-1][0]["text"] == "Timeline(seconds=300)\n"


def test_an_opened_event_is_compared_with_any_other(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = opened(open_cells, etcd, "log", "diff")
    page = notebook.page
    expect(page.get_by_text("Choose a key in the tree")).to_be_visible()
    for replicas in (1, 2, 3):
        etcd.put("config/app", json.dumps({"name": "shop", "replicas": replicas, "zones": ["a"]}))
    shown(page, "3 shown of 3")
    rows(grid(page)).filter(has_text='"replicas": 2').click()
    changed = page.get_by_role("region", name="What changed").last
    expect(changed).to_contain_text('removed:   "replicas": 1')
    expect(changed).to_contain_text('added:   "replicas": 2')
    page.get_by_role("combobox", name="to").select_option("the newest")
    expect(changed).to_contain_text('added:   "replicas": 3')
    first = page.get_by_role("combobox", name="From").locator("option").last
    page.get_by_role("combobox", name="From").select_option(first.get_attribute("value"))
    expect(changed).to_contain_text('removed:   "replicas": 1')
    for theme in in_both_themes(page):
        take_picture(page.locator(".ew-value-diff"), f"value-diff-{theme}", tmp_path)

    # It goes on while changes come.
    etcd.put("config/app", json.dumps({"name": "shop", "replicas": 9, "zones": ["a", "b"]}))
    expect(changed).to_contain_text('added:   "replicas": 9')
    etcd.delete("config/app")
    expect(page.locator(".ew-value-diff")).to_contain_text("deleted; before that it was")
