"""Keys, values and names that would like to be more than text, in every widget."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from etcd_watcher import LocalEtcd
from etcd_watcher.keys import to_bytes, to_text
from tests.ui.lab import NotebookPage
from tests.ui.looks import take_picture
from tests.ui.parts import button, card, grid, rows, tree

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

IMAGE = "<img src=x onerror=window.hacked=1>"

HOSTILE: dict[str | bytes, str | bytes] = {
    IMAGE: "<script>window.hacked=1</script>",
    "</script><b>bold": "</textarea></style><svg onload=window.hacked=1>",
    "\x1b[31mred\x1b[0m": "\x1b]0;title\x07 bell",
    "right\u202eto left": "\u2066isolate \u202bembed",
    "nul\0key": "\0" * 50,
    b"\xff\xfe not utf-8": b"\x80\x81\xc3\x28",
    "long" * 300: "x" * 1_000_000,
    "new\nline\ttab": "a\r\nb\u2028c",
}

AS_TEXT = [
    IMAGE,
    r"\x1b[31mred\x1b[0m",
    r"right\u202eto left",
    r"nul\x00key",
    r"\xff\xfe not utf-8",
    "longlong",
    r"new\nline\ttab",
]
"""How the keys are shown, but for the one with a / in it, which a tree cuts in two."""

SET_UP = f"""
from etcd_watcher import Subscriber, Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({{url!r}}, api="v3")
ana = Subscriber({IMAGE!r} + "\\u202e\\x1b[31m")
hostile = {[to_text(to_bytes(key)) for key in HOSTILE][1:]!r}
watcher.register(hostile, ana, "do_things")
watcher.add_key("", prefix=True)
dashboard = Dashboard(watcher)
dashboard
"""


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        for key in HOSTILE:
            etcd.put(key, "before")
        yield etcd


def nothing_ran(page: Page, title: str) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.title() == title
    # An output's own drawing may have pictures and such; what we draw has not.
    drawn = page.locator(".etcd-watcher :is(img, script, svg, b, style, iframe)")
    assert drawn.count() == 0, drawn.first.evaluate("element => element.outerHTML")


def nothing_sticks_out(page: Page) -> None:
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.ew-dashboard, .ew-part, .ew-part-content')]
            .filter(each => each.scrollWidth > each.clientWidth + 1)
            .map(each => `${each.className}: ${each.scrollWidth} > ${each.clientWidth}`)"""
    )
    assert not wide
    heights = page.evaluate(
        """() => [...new Set([...document.querySelectorAll('.ew-canvas .ew-row')]
            .map(each => each.offsetHeight))]"""
    )
    assert heights == [24], "each row is one line"


def test_hostile_keys_values_and_names_are_text_everywhere(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = open_cells(SET_UP.format(url=etcd.url))
    page = notebook.page
    notebook.run_all()
    assert not notebook.errors()
    title = page.title()
    page.set_viewport_size({"width": 1100, "height": 2400})
    for key, value in HOSTILE.items():
        etcd.put(key, value)
    expect(page.locator(".ew-counted")).to_contain_text(f"{len(HOSTILE)} shown of {len(HOSTILE)}")

    check_the_pickers(page)
    check_the_board(page)
    check_the_log(page)
    check_the_timeline(page)
    check_the_tree_and_what_follows_it(page)
    nothing_sticks_out(page)
    nothing_ran(page, title)
    take_picture(page.get_by_role("region", name="etcd dashboard"), "hostile", tmp_path)


def check_the_pickers(page: Page) -> None:
    page.get_by_role("combobox", name="Watch a key").click()
    options = page.get_by_role("listbox", name="Keys").get_by_role("option")
    for text in AS_TEXT:
        expect(options.filter(has_text=text)).to_have_count(1)
    options.filter(has_text=IMAGE).click()
    for text in AS_TEXT:
        name = re.compile(f"^Remove {re.escape(text)}")
        expect(button(page, name)).to_be_visible()
    ticks = page.get_by_role("checkbox", name=re.compile(rf"^{re.escape(IMAGE)}.* is told of "))
    expect(ticks).to_have_count(len(HOSTILE) + 1)  # and the prefix of all


def check_the_board(page: Page) -> None:
    anas = page.get_by_role("region", name=re.compile(f"^{re.escape(IMAGE)}"))
    expect(anas).to_contain_text(f"{len(HOSTILE) - 1} delivered")
    expect(anas).to_contain_text(r"\xff\xfe not utf-8 → do_things")
    expect(anas).to_contain_text("</textarea></style><svg onload=window.hacked=1>")
    expect(card(page, r"nobody")).to_have_count(0)


def check_the_log(page: Page) -> None:
    text = grid(page).inner_text()
    for part in [
        *AS_TEXT,
        "</script><b>bold",
        "<script>window.hacked=1</script>",
        r"\x80\x81\xc3(",
        r"a\r\nb\u2028c",
    ]:
        assert part in text
    pane = page.get_by_role("region", name="Opened event")
    first = len(HOSTILE) + 2
    for number in range(len(HOSTILE)):
        grid(page).focus()
        page.keyboard.press("Home")
        for _ in range(number):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(pane).to_contain_text(f"revision{first + number}")
        expect(pane.get_by_role("region", name="Value", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        button(page, "Save what is shown as JSON lines").click()
    lines = Path(download.value.path()).read_text("utf-8").rstrip("\n").split("\n")
    saved = [json.loads(line) for line in lines]
    assert [each["revision"] for each in saved] == list(range(first, first + len(HOSTILE)))


def check_the_timeline(page: Page) -> None:
    told = page.get_by_role("list", name="Changes over time").inner_text()
    for text in AS_TEXT:
        assert text in told


def check_the_tree_and_what_follows_it(page: Page) -> None:
    value = page.get_by_role("textbox", name="Value", exact=True)
    changed = page.get_by_role("group", name="What changed").get_by_role(
        "region", name="What changed"
    )
    for key, edited, difference in [
        (IMAGE, "<script>window.hacked=1</script>", "added: <script>window.hacked=1</script>"),
        (r"\x1b[31mred\x1b[0m", r"\x1b]0;title\x07 bell", r"added: \x1b]0;title\x07 bell"),
        (r"nul\x00key", r"\x00" * 50, r"added: \x00\x00"),
        (r"\xff\xfe not utf-8", r"\x80\x81\xc3(", r"added: \x80\x81\xc3("),
        (r"new\nline\ttab", "a\\r\nb\\u2028c", r"added: b\u2028c"),
    ]:
        rows(tree(page)).filter(has_text=key).last.click()  # the root has the last change, too
        expect(value).to_have_value(edited)
        expect(changed).to_contain_text(difference)
    rows(tree(page)).filter(has_text="longlong").first.click()
    expect(page.get_by_text("too large to be edited here: this is its beginning")).to_be_visible()
    button(page, re.compile("^Show all keys again")).click()
