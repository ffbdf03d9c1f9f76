"""`RevisionSlider`: a person drags through the past, and gets back what was deleted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import NotebookPage
from tests.ui.looks import faults, in_both_themes, take_picture

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({url!r}, api="v3")
watcher.add_key("shop/", prefix=True)
dashboard = Dashboard(watcher)
dashboard
"""

ALONE = """
from etcd_watcher.widgets import RevisionSlider
RevisionSlider(watcher, prefix="shop/", read_only=True)
"""


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    """A shop in which somebody has sold the last tea, at revision 15."""
    with LocalEtcd() as etcd:
        etcd.put("shop/tea", "green <b>tea</b>")  # revision 2
        for number in range(12):
            etcd.put("shop/milk", f"{number} litres")  # 3 to 14
        etcd.delete("shop/tea")
        etcd.put("shop/milk", "sour")
        yield etcd


def value_of(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Value", exact=True).last


def drag_to_the_beginning(page: Page, slider: Locator) -> None:
    """Take the thumb where it is at rest, at the end, and pull it to the other."""
    box = slider.bounding_box()
    assert box is not None
    slider.hover(position={"x": box["width"] - 8, "y": box["height"] / 2})
    page.mouse.down()
    expect(slider).to_be_focused()
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle, steps=8)
    page.mouse.move(box["x"] + 1, middle, steps=8)
    page.mouse.up()
    expect(slider).to_have_attribute("aria-valuetext", "revision 2, created shop/tea")


def walk_with_the_keyboard(slider: Locator) -> None:
    for key, place in (
        *(("ArrowRight", 3), ("PageDown", 13), ("End", 0), ("PageUp", 7)),
        *(("ArrowLeft", 6), ("Home", 2), ("ArrowUp", 3)),
    ):
        slider.press(key)
        expect(slider).to_have_attribute("aria-valuetext", at(place) if place else "now")


def at(revision: int) -> re.Pattern[str]:
    return re.compile(rf"^revision {revision}\b")


def test_drag_to_the_past_see_it_everywhere_and_restore_what_was_deleted(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = open_cells(SET_UP.format(url=etcd.url), ALONE)
    notebook.run_cell(0)
    page = notebook.page
    page.get_by_role("button", name="Past", exact=True).click()
    past = page.get_by_role("group", name="Past", exact=True)
    slider = past.get_by_role("slider", name="Moment")
    tree = page.get_by_role("treegrid", name="Keys")
    expect(past).to_contain_text("15 changes from revision 1 on")
    expect(slider).to_have_attribute("aria-valuetext", "now")
    tree.press("ArrowRight")
    tree.get_by_role("row", name="shop/").get_by_text("▸").click()
    rows = tree.get_by_role("row")
    expect(rows.filter(has_text="milk").last).to_contain_text("sour")

    drag_to_the_beginning(page, slider)
    expect(rows.filter(has_text="tea")).to_contain_text("green <b>tea</b>")
    expect(rows.filter(has_text="milk")).to_have_count(0)
    expect(tree).to_contain_text("as of revision 2")
    walk_with_the_keyboard(slider)
    expect(rows.filter(has_text="milk")).to_contain_text("0 litres")
    events = page.get_by_role("group", name="Events", exact=True)
    expect(events).to_contain_text("up to revision 3")

    # What is gone is found, looked at, and written again.
    past.get_by_role("searchbox", name="Find").fill("te")
    past.get_by_role("button", name="Go to before shop/tea went").click()
    expect(slider).to_have_attribute("aria-valuetext", at(14))
    rows.filter(has_text="tea").click()
    expect(value_of(page)).to_have_value("green <b>tea</b>")
    expect(page.get_by_role("button", name="Restore shop/tea")).to_have_count(2)  # there, and here
    page.set_viewport_size({"width": 1100, "height": 1900})
    take_picture(page.get_by_role("region", name="etcd dashboard"), "past", tmp_path)
    take_picture(past, "revision-slider", tmp_path)
    for theme in in_both_themes(page):
        assert not faults(page), theme
    past.get_by_role("button", name="Restore shop/tea").click()
    expect(past).to_contain_text("shop/tea is back: revision 17")
    assert etcd.get("shop/tea") == "green <b>tea</b>"
    expect(past.get_by_role("table", name="Deleted keys")).to_be_hidden()
    past.get_by_role("button", name="Now").click()
    expect(events.get_by_text("up to revision")).to_be_hidden()
    expect(rows.filter(has_text="milk").last).to_contain_text("sour")
    expect(rows.filter(has_text="tea").last).to_contain_text("green <b>tea</b>")
    look_at_one_alone(notebook, etcd, tmp_path)


def look_at_one_alone(notebook: NotebookPage, etcd: LocalEtcd, tmp_path: Path) -> None:
    """See one that is read-only, without the dashboard."""
    etcd.delete("shop/tea")
    notebook.run_cell(1)
    alone = notebook.page.locator(".ew-past").last
    expect(alone.get_by_role("table", name="Deleted keys")).to_contain_text("shop/tea")
    expect(alone.get_by_role("button", name="Restore shop/tea")).to_have_count(0)
    alone.get_by_role("spinbutton", name="Revision to go to").fill("5")
    alone.get_by_role("spinbutton", name="Revision to go to").press("Enter")
    moment = alone.get_by_role("table", name="Keys at that moment")
    expect(moment).to_contain_text("2 litres")
    expect(moment).to_contain_text("green <b>tea</b>")
    take_picture(alone, "revision-slider-alone", tmp_path)
    saved = notebook.saved()
    assert "litres" not in saved
    assert "tea</b>" not in saved


# The person moves the thumb just as the page comes to stand still, for longer than it holds a place
# that it told: then it draws before its timers run, as browsers do.
STAND_STILL = """(slider) => {
  const { setTimeout } = window;
  const { now } = Date;
  const late = [];
  window.setTimeout = (run) => late.push(run);
  slider.value = "0";
  slider.dispatchEvent(new Event("input"));
  window.setTimeout = setTimeout;
  Date.now = () => now() + 3000;
  window.goOn = () => {
    Date.now = now;
    for (const run of late) run();
  };
}"""


def alone(open_cells: Open, etcd: LocalEtcd) -> tuple[Page, Locator]:
    """Open a slider that has nothing beside it."""
    notebook = open_cells(SET_UP.format(url=etcd.url), ALONE)
    notebook.run_cell(0)
    notebook.run_cell(1)
    slider = notebook.page.get_by_role("slider", name="Moment").last
    expect(slider).to_have_attribute("max", "15")
    return notebook.page, slider


def test_a_place_is_told_however_long_the_page_stood_still(
    open_cells: Open, etcd: LocalEtcd
) -> None:
    page, slider = alone(open_cells, etcd)
    slider.evaluate(STAND_STILL)
    etcd.put("shop/milk", "fresh")
    expect(slider).to_have_attribute("max", "16")  # it was drawn, and has told nothing yet
    assert slider.get_attribute("aria-valuetext") == "now"
    page.evaluate("goOn()")
    expect(slider).to_have_attribute("aria-valuetext", "revision 2, created shop/tea")
    assert slider.input_value() == "0"


def test_the_present_is_the_end_however_many_changes_come_meanwhile(
    open_cells: Open, etcd: LocalEtcd
) -> None:
    page, slider = alone(open_cells, etcd)
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "revision 2, created shop/tea")
    slider.evaluate(STAND_STILL.replace('"0"', "slider.max"))
    etcd.put("shop/milk", "fresh")
    expect(slider).to_have_attribute("max", "16")
    page.evaluate("goOn()")
    expect(slider).to_have_attribute("aria-valuetext", "now")
