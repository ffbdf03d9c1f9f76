"""The pictures of the documentation, taken from a dashboard on which something happens.

`make pictures` puts them in docs/images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from etcd_watcher import LocalEtcd, Watcher
from tests.ui.lab import NotebookPage
from tests.ui.looks import change_theme, faults, take_picture
from tests.ui.parts import button, grid, node, rows

pytestmark = [pytest.mark.ui, pytest.mark.slow]

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Subscriber, Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({url!r}, api="v3")
luis, antonio, juan = Subscriber("Luis"), Subscriber("Antonio"), Subscriber("Juan")
watcher.register(["nokia", "redhat"], luis, "do_things")
watcher.register("google", antonio, "do_things")
watcher.register(["redhat", "nokia"], juan, "do_things")
watcher.add_key(["config/", "jobs/", "sensors/"], prefix=True)
Dashboard(watcher)
"""

STEP = 250
"""Milliseconds from one write to the next: so that there is a timeline to be seen."""


def write_for_a_while(page: Page, watcher: Watcher) -> None:
    for step in range(32):
        watcher.put("sensors/kitchen/temperature", str(20 + (step * 7) % 9 / 2))
        if step % 3 == 0:
            watcher.put("sensors/door", "closed" if step % 2 else "open")
        if step % 10 == 4:
            watcher.put("nokia", f"nokia news {step // 10 + 1}")
            watcher.put("redhat", f"redhat news {step // 10 + 1}")
        if step % 16 == 6:
            watcher.put("google", f"google news {step // 16 + 1}")
        page.wait_for_timeout(STEP)
    watcher.put("jobs/backup", "running", ttl=95)
    for name in ("clean", "index", "mail"):
        watcher.put(f"jobs/night/{name}", "done")
    watcher.delete("jobs/night/", prefix=True)
    watcher.put("config/app", app(3))


def app(replicas: int) -> str:
    return json.dumps({"name": "shop", "replicas": replicas, "zones": ["a", "b"]})


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        for key, value in {
            "config/app": app(2),
            "nokia": "nokia news 0",
            "redhat": "redhat news 0",
            "sensors/door": "open",
            "sensors/kitchen/temperature": "21",
        }.items():
            etcd.put(key, value)
        yield etcd


def part(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def test_pictures_of_the_dashboard_and_its_parts(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = open_cells(SET_UP.format(url=etcd.url))
    page = notebook.page
    notebook.run_all()
    page.set_default_timeout(20_000)  # milliseconds
    whole = page.get_by_role("region", name="etcd dashboard")
    expect(node(page, "sensors/")).to_be_visible()
    page.set_viewport_size({"width": 1100, "height": 2300})
    page.get_by_role("combobox", name="The last").select_option("10 s")
    page.wait_for_function("document.fonts.status === 'loaded'")
    with Watcher(etcd.url, api="v3") as watcher:
        write_for_a_while(page, watcher)
    for folder in ("jobs/", "sensors/"):
        node(page, folder).locator(".ew-twist").click()
    expect(node(page, "backup").get_by_role("gridcell").nth(4)).to_have_text(re.compile(" s$"))
    node(page, "kitchen/").locator(".ew-twist").click()
    editor = page.get_by_role("group", name="Value editor")
    editor.get_by_role("textbox", name="Key").fill("config/app")
    button(editor, "Open").click()
    event = rows(grid(page)).filter(has_text="config/app")
    event.click()  # shows in "What changed", too
    button(page, "Close").click()
    take_picture(whole, "dashboard", tmp_path)
    for name, image in {
        "Timeline": "timeline",
        "All keys": "key-tree",
        "Callbacks": "callback-board",
        "Subscribers": "subscriber-picker",
        "What changed": "value-diff",
    }.items():
        take_picture(part(page, name), image, tmp_path)
    event.click()
    take_picture(part(page, "Events"), "event-log", tmp_path)
    button(page, "Close").click()

    etcd.put("config/app", app(5))
    value = editor.get_by_role("textbox", name="Value")
    expect(value).to_have_value(re.compile("5"))
    value.fill(app(4))
    etcd.put("config/app", app(6))
    button(editor, "Put config/app").click()
    expect(editor.get_by_role("alert")).to_contain_text("Nothing was written.")
    take_picture(part(page, "Value"), "value-editor", tmp_path)
    button(editor, "Take theirs").click()

    page.set_viewport_size({"width": 2010, "height": 1250})
    change_theme(page, dark=True)
    take_picture(whole, "dashboard-wide-dark", tmp_path)
    assert not faults(page)
