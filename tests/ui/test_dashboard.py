"""`Dashboard`: the walkthrough with the mouse or the keyboard alone, and no code behind it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import NotebookPage
from tests.ui.looks import faults, in_both_themes, take_picture
from tests.ui.parts import card, grid, node, tree

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({url!r}, api={api!r})
Dashboard(watcher)
"""


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    """A server of this test's own, on which there is a little already."""
    with LocalEtcd() as etcd:
        for key, value in {
            "nokia": "nokia news 0",
            "redhat": "redhat news 0",
            "sensors/door": "open",
            "sensors/kitchen/temperature": "21",
        }.items():
            etcd.put(key, value, api="v2")
            etcd.put(key, value)
        yield etcd


@pytest.fixture
def dashboard(open_cells: Open, etcd: LocalEtcd) -> NotebookPage:
    return opened(open_cells, etcd)


def opened(open_cells: Open, etcd: LocalEtcd, api: str = "v2") -> NotebookPage:
    notebook = open_cells(SET_UP.format(url=etcd.url, api=api))
    notebook.run_all()
    assert not notebook.errors()
    whole = notebook.page.get_by_role("region", name="etcd dashboard")
    expect(whole).to_contain_text("connected")
    expect(whole.get_by_role("combobox", name="Watch a key")).to_be_visible()
    return notebook


def curl(etcd: LocalEtcd, key: str, value: str) -> None:
    """Write as the README's walkthrough does."""
    program = shutil.which("curl")
    assert program, "no curl on PATH"
    url = f"{etcd.url}/v2/keys/{key}"
    command = [program, "--noproxy", "*", "-sf", url, "-XPUT", "-d", f"value={value}"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def options(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Keys").get_by_role("option")


def add_key(page: Page, key: str) -> None:
    page.get_by_role("combobox", name="Watch a key").fill(key)
    options(page).filter(has_text=re.compile(rf"^\W?{key}(not there yet)?$")).click()
    expect(page.get_by_role("button", name=re.compile(rf"^Remove \W?{key}$"))).to_be_visible()


def make(page: Page, name: str) -> None:
    page.get_by_role("textbox", name="New subscriber").fill(name)
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("columnheader", name=name)).to_be_visible()


def tick(page: Page, name: str, key: str) -> Locator:
    return page.get_by_role("checkbox", name=re.compile(rf"^{name} is told of \W?{key}$"))


def subscribed(page: Page, name: str, key: str) -> None:
    """Tick, and wait until the watcher has it: the card tells."""
    tick(page, name, key).check()
    expect(card(page, name)).to_contain_text(f"{key} → do_things")


def test_the_walkthrough_without_a_line_of_code(dashboard: NotebookPage, etcd: LocalEtcd) -> None:
    page = dashboard.page
    for key in ("nokia", "redhat", "google"):
        add_key(page, key)
    for name in ("Luis", "Antonio", "Juan"):
        make(page, name)
    for name, key in (
        *(("Luis", "nokia"), ("Luis", "redhat")),
        *(("Antonio", "google"), ("Juan", "redhat"), ("Juan", "nokia")),
    ):
        subscribed(page, name, key)
    curl(etcd, "nokia", "nokia news 1")
    curl(etcd, "google", "google news 1")
    curl(etcd, "redhat", "redhat news 1")
    expect(card(page, "Luis")).to_contain_text(
        re.compile("nokia = nokia news 1.*redhat news 1", re.DOTALL)
    )
    expect(card(page, "Juan")).to_contain_text(
        re.compile("nokia = nokia news 1.*redhat news 1", re.DOTALL)
    )
    expect(card(page, "Antonio")).to_contain_text("google = google news 1")
    expect(card(page, "Antonio")).not_to_contain_text("nokia news")

    # Luis is not interested any more in nokia.
    tick(page, "Luis", "nokia").uncheck()
    expect(card(page, "Luis")).not_to_contain_text("nokia → do_things")
    curl(etcd, "nokia", "nokia news 2")
    expect(card(page, "Juan")).to_contain_text("nokia = nokia news 2")
    expect(card(page, "Luis")).not_to_contain_text("nokia news 2")

    # Nor is anybody, in the end: the key is still watched, and the log has it.
    tick(page, "Juan", "nokia").uncheck()
    expect(card(page, "Juan")).not_to_contain_text("nokia → do_things")
    curl(etcd, "nokia", "nokia news 3")
    expect(page.get_by_role("group", name="Events", exact=True)).to_contain_text("nokia news 3")
    expect(card(page, "Juan")).not_to_contain_text("nokia news 3")

    dashboard.save_and_reload()
    expect(card(page, "Juan")).to_contain_text("nokia = nokia news 2")
    expect(tick(page, "Juan", "redhat")).to_be_checked()
    expect(tick(page, "Juan", "nokia")).not_to_be_checked()
    saved = dashboard.saved()
    assert "news" not in saved
    assert "nokia" not in saved


def test_all_of_it_with_the_keyboard(dashboard: NotebookPage, etcd: LocalEtcd) -> None:
    page, press = dashboard.page, dashboard.page.keyboard.press
    page.get_by_role("combobox", name="Watch a key").focus()
    page.keyboard.type("nok")
    expect(options(page).first).to_contain_text("nokia")
    press("ArrowDown")
    press("Enter")
    expect(page.get_by_role("button", name="Remove nokia")).to_be_visible()
    page.keyboard.type("brandnew")
    press("Enter")
    expect(page.get_by_role("button", name="Remove brandnew")).to_be_visible()
    tab_to(page, page.get_by_role("textbox", name="New subscriber"))
    page.keyboard.type("Luis")
    press("Enter")
    expect(page.get_by_role("columnheader", name="Luis")).to_be_visible()
    tab_to(page, tick(page, "Luis", "nokia"))
    press("ArrowDown")
    expect(tick(page, "Luis", "brandnew")).to_be_focused()
    press("Space")
    expect(card(page, "Luis")).to_contain_text("brandnew → do_things")
    curl(etcd, "brandnew", "fresh")
    expect(card(page, "Luis")).to_contain_text("brandnew = fresh")
    fold = page.get_by_role("heading", name="Luis").get_by_role("button")
    tab_to(page, fold)
    press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "true")
    tab_to(page, grid(page))
    tab_to(page, page.get_by_role("slider", name="beginning of the marked time"))
    tab_to(page, tree(page))
    tab_to(page, page.get_by_role("textbox", name="Key", exact=True).last)
    page.keyboard.type("brandnew")
    press("Enter")
    value = page.get_by_role("textbox", name="Value", exact=True).last
    expect(value).to_have_value("fresh")
    tab_to(page, value)
    press("ControlOrMeta+a")
    page.keyboard.type("typed")
    tab_to(page, page.get_by_role("button", name="Put brandnew"))
    press("Enter")
    expect(page.get_by_text("Written: revision")).to_be_visible()
    assert etcd.get("brandnew", api="v2") == "typed"
    tab_to(page, page.get_by_role("combobox", name="From"))
    # And back to the folds.
    fold = page.get_by_role("button", name="Callbacks")
    tab_to(page, fold, back=True)
    press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(card(page, "Luis")).to_be_hidden()


def test_tab_leads_to_all_that_can_be_used(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = opened(open_cells, etcd, "v3")
    page = notebook.page
    add_key(page, "nokia")
    make(page, "Luis")
    subscribed(page, "Luis", "nokia")
    etcd.put("nokia", "news")
    expect(card(page, "Luis")).to_contain_text("nokia = news")
    grid(page).get_by_text("news").click()  # opens the event
    expect(page.get_by_role("region", name="Opened event")).to_be_visible()
    node(page, "redhat").click()
    expect(page.get_by_role("button", name="Put redhat")).to_be_visible()
    etcd.put("shop/tea", "green")
    etcd.delete("shop/tea")
    page.get_by_role("button", name="Past", exact=True).click()
    expect(page.get_by_role("button", name="Restore shop/tea")).to_be_visible()

    usable = page.evaluate(USABLE)
    assert len(usable) > 50
    page.get_by_role("button", name="Full screen").focus()
    for _ in range(3 * len(usable)):
        page.keyboard.press("Tab")
        if not page.evaluate("document.activeElement.closest('.ew-dashboard') !== null"):
            break
    left_out = page.evaluate("window.usable.filter(each => !window.reached.has(each)).map(nameOf)")
    assert left_out == []


USABLE = """() => {
    window.nameOf = each => `${each.tagName} ${each.ariaLabel ?? each.innerText}`;
    window.reached = new Set();
    const whole = document.querySelector('.ew-dashboard');
    whole.addEventListener('focusin', event => window.reached.add(event.target));
    const parts = 'button, input, select, textarea, a[href], [tabindex], [role=slider], [role=grid]';
    window.usable = [...whole.querySelectorAll(parts)].filter(each =>
        each.checkVisibility({ visibilityProperty: true }) && !each.disabled
        && !each.closest('.jp-OutputArea, [disabled]')?.matches('.ew-card *'));
    return window.usable.map(nameOf);
}"""


def test_a_second_view_shows_the_same_and_outlives_the_first(
    open_cells: Open, etcd: LocalEtcd
) -> None:
    notebook = open_cells(
        SET_UP.format(url=etcd.url, api="v3").replace("\nDashboard", "\nshown = Dashboard"),
        "shown",
        "shown",
    )
    notebook.run_all()
    page = notebook.page
    page.set_viewport_size({"width": 1100, "height": 4400})  # JupyterLab hides cells out of sight
    both = page.get_by_role("region", name="etcd dashboard")
    expect(both).to_have_count(2)
    first, second = both.first, both.last
    second.get_by_role("combobox", name="Watch a key").fill("nokia")
    second.get_by_role("option").filter(has_text="nokia").first.click()
    second.get_by_role("textbox", name="New subscriber").fill("Luis")
    second.get_by_role("button", name="Make").click()
    first.get_by_role("checkbox", name="Luis is told of nokia").check()
    expect(second.get_by_role("checkbox", name="Luis is told of nokia")).to_be_checked()
    etcd.put("nokia", "once")
    for each in (first, second):
        luis = each.get_by_role("region", name="Luis", exact=True)
        expect(luis.get_by_text("Luis: nokia = once")).to_have_count(1)
        expect(each.get_by_role("grid", name="Events")).to_contain_text("once")
    first.get_by_role("button", name="Callbacks").click()
    expect(second.get_by_role("button", name="Callbacks")).to_have_attribute(
        "aria-expanded", "false"
    )
    second.get_by_role("button", name="Callbacks").click()

    notebook.page.evaluate(
        """() => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = 1;
            return window.jupyterapp.commands.execute('notebook:clear-cell-output');
        }"""
    )
    expect(both).to_have_count(1)
    etcd.put("nokia", "again")
    expect(card(page, "Luis").get_by_text("Luis: nokia = again")).to_have_count(1)
    expect(page.get_by_role("group", name="Events", exact=True)).to_contain_text("again")


def test_what_is_asked_of_a_kernel_that_is_gone_is_said_to_be_in_vain(
    dashboard: NotebookPage, etcd: LocalEtcd
) -> None:
    page = dashboard.page
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    dashboard.wait_for_kernel()
    page.get_by_role("button", name="Refresh").click()
    add = page.get_by_role("combobox", name="Watch a key")
    add.fill("nokia")
    add.press("Enter")
    gone = page.get_by_role("alert").filter(has_text="The kernel that this belongs to")
    expect(gone).to_have_count(2)
    expect(gone.first).to_have_text(re.compile(r"does not answer \(.+\): run the cell again\.$"))
    dashboard.run_all()
    expect(gone).to_have_count(0)
    add_key(page, "nokia")


@pytest.mark.slow
def test_when_the_kernel_is_gone_it_does_not_go_on_saying_that_it_is_connected(
    dashboard: NotebookPage, etcd: LocalEtcd
) -> None:
    page = dashboard.page
    state = page.locator(".ew-status")
    page.wait_for_timeout(17_000)  # as long as it waits for a word
    expect(state).to_contain_text("connected")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    expect(state).to_contain_text("no word from the kernel")
    dashboard.wait_for_kernel()
    dashboard.run_all()
    expect(state).to_contain_text("connected")
    add_key(page, "nokia")


def tab_to(page: Page, target: Locator, *, back: bool = False) -> None:
    """Press Tab until something has the focus."""
    for _ in range(150):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    pytest.fail(f"Tab does not lead to {target}")


def test_axe_finds_nothing_serious_in_light_and_in_dark(
    open_cells: Open, etcd: LocalEtcd, tmp_path: Path
) -> None:
    notebook = opened(open_cells, etcd, "v3")
    page = notebook.page
    add_key(page, "nokia")
    add_key(page, "google")
    make(page, "Luis")
    subscribed(page, "Luis", "nokia")
    etcd.put("nokia", "news")
    etcd.put("google", "news")
    etcd.delete("google")
    expect(card(page, "Luis")).to_contain_text("nokia = news")
    page.get_by_role("textbox", name="Key", exact=True).last.fill("nokia")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("textbox", name="Value", exact=True).last).to_have_value("news")
    page.get_by_role("combobox", name="Watch a key").fill("s")
    expect(options(page).first).to_be_visible()
    page.set_viewport_size({"width": 1100, "height": 1600})
    for theme in in_both_themes(page):
        found = faults(page)
        take_picture(
            page.get_by_role("region", name="etcd dashboard"), f"dashboard-{theme}", tmp_path
        )
        assert not found, theme


def test_it_fits_a_narrow_page_and_a_full_screen(dashboard: NotebookPage, tmp_path: Path) -> None:
    page = dashboard.page
    whole = page.get_by_role("region", name="etcd dashboard")
    for width in (700, 1100, 1900):
        page.set_viewport_size({"width": width, "height": 1000})
        overflow = whole.evaluate("element => element.scrollWidth - element.clientWidth")
        assert overflow <= 1, width
        take_picture(whole, f"dashboard-{width}", tmp_path)
    page.get_by_role("button", name="Full screen").click()
    leave = page.get_by_role("button", name="Leave full screen")
    expect(leave).to_be_visible()
    assert page.evaluate("document.fullscreenElement.classList.contains('ew-dashboard')")
    leave.click()
    expect(page.get_by_role("button", name="Full screen", exact=True)).to_be_visible()


def test_a_cell_run_again_leaves_one_of_each(dashboard: NotebookPage, etcd: LocalEtcd) -> None:
    page = dashboard.page
    for _ in range(3):
        dashboard.run_cell(0)
    expect(page.get_by_role("region", name="etcd dashboard")).to_have_count(1)
    add_key(page, "nokia")
    make(page, "Luis")
    subscribed(page, "Luis", "nokia")
    curl(etcd, "nokia", "once")
    expect(card(page, "Luis")).to_contain_text("1 delivered")
    expect(card(page, "Luis").get_by_text("Luis: nokia = once")).to_have_count(1)


def test_the_tree_narrows_the_log_and_opens_the_editor(open_cells: Open, etcd: LocalEtcd) -> None:
    notebook = opened(open_cells, etcd, "v3")
    page = notebook.page
    add_key(page, "nokia")
    etcd.put("nokia", "news")
    events = page.get_by_role("group", name="Events", exact=True)
    expect(events).to_contain_text("news")
    node(page, "redhat").click()
    expect(page.get_by_role("textbox", name="Value", exact=True).last).to_have_value(
        "redhat news 0"
    )
    expect(events).not_to_contain_text("nokia")
