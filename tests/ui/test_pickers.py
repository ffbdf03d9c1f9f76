"""KeyPicker and SubscriberPicker, and with CallbackBoard the walkthrough without a line of code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.lab import NotebookPage

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import LocalEtcd, Subscriber, Watcher
from etcd_watcher.widgets import CallbackBoard, KeyPicker, SubscriberPicker
etcd = LocalEtcd()
watcher = Watcher(etcd.url)
for name in ("nokia", "news/one", "news/two"):
    etcd.put(name, "before", api="v2")
"""


def add_key(page: Page, key: str) -> None:
    field = page.get_by_role("combobox", name="Watch a key")
    field.fill(key)
    page.get_by_role("option").filter(has_text=key).first.click()
    expect(page.get_by_role("button", name=f"Remove {key}")).to_be_visible()


# All in one go: the page has no time to draw anything in between.
TYPED_IN_ONE_GO = """(field, [text, ...keys]) => {
  field.focus();
  field.value = text;
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  for (const key of keys) field.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}"""


def test_enter_takes_what_was_typed_however_late_the_page_draws(open_cells: Open) -> None:
    notebook = open_cells(SET_UP, "KeyPicker(watcher)")
    notebook.run_all()
    assert not notebook.errors()
    page = notebook.page
    field = page.get_by_role("combobox", name="Watch a key")
    watched = page.get_by_role("list", name="Watched keys").get_by_role("listitem")
    field.evaluate(TYPED_IN_ONE_GO, ["redhat", "Enter"])
    expect(watched).to_have_text(["redhat✕"])
    # Offered is what was found for what the field said before, which is another key.
    field.fill("nokia")
    expect(page.get_by_role("option")).to_contain_text(["nokia", "nokia"])
    field.evaluate(TYPED_IN_ONE_GO, ["nokia/phones", "Enter"])
    expect(watched).to_have_text(["redhat✕", "nokia/phones✕"])
    # The last that is offered is the directory.
    field.evaluate(TYPED_IN_ONE_GO, ["new/", "ArrowUp", "Enter"])
    expect(watched).to_have_text(["redhat✕", "nokia/phones✕", "directory new/✕"])


def test_pick_keys_and_subscribers(open_cells: Open) -> None:
    notebook = open_cells(
        SET_UP,
        "KeyPicker(watcher)",
        "SubscriberPicker(watcher)",
        "CallbackBoard(watcher)",
        "etcd.put('redhat', 'news', api='v2'); watcher.sync()",
        """
        def shout(key, value):
            print(f"{value.upper()}!")
        """,
    )
    for number in (0, 1, 2, 3, 5):
        notebook.run_cell(number)
    assert not notebook.errors()
    page = notebook.page
    page.set_viewport_size({"width": 1100, "height": 1800})  # JupyterLab hides cells out of sight
    add_key(page, "nokia")
    add_key(page, "redhat")
    page.get_by_role("textbox", name="New subscriber").fill("Luis")
    page.get_by_role("button", name="Make").click()
    page.get_by_role("checkbox", name="Luis is told of redhat").check()
    notebook.run_cell(4)
    expect(page.get_by_role("region", name="Luis", exact=True)).to_contain_text(
        "Luis: redhat = news"
    )

    # Something else is called.
    page.get_by_role("combobox", name="What Luis has called").select_option("shout")
    card = page.get_by_role("region", name="Luis", exact=True)
    expect(card).to_contain_text("redhat → shout")
    notebook.run_cell(4)
    expect(card).to_contain_text("NEWS!")

    # What is done in code shows at once, and the reverse.
    notebook.run_new_cell("watcher.register('nokia', Subscriber('Ana'), 'do_things')")
    anas = page.get_by_role("checkbox", name="Ana is told of nokia")
    expect(anas).to_be_checked()
    page.get_by_role("checkbox", name="Luis is told of nokia").check()
    expect(card).to_contain_text("nokia → shout")
    notebook.run_new_cell("watcher.unregister('nokia', watcher.get_subscribers('nokia')[0])")
    expect(anas).not_to_be_checked()
    notebook.run_new_cell("print([each.name for each in watcher.get_subscribers('nokia')])")
    assert notebook.outputs()[-1][0]["text"] == "['Luis']\n"

    # The focus stays where it is while others go, and in the widget when what has it goes.
    press = page.keyboard.press
    page.get_by_role("checkbox", name="Luis is told of redhat").focus()
    page.get_by_role("button", name="Remove nokia").dispatch_event("click")
    expect(page.get_by_role("checkbox", name="Luis is told of nokia")).to_have_count(0)
    expect(page.get_by_role("checkbox", name="Luis is told of redhat")).to_be_focused()
    page.get_by_role("button", name="Remove Luis").focus()
    press("Enter")
    expect(page.get_by_role("columnheader", name="Luis")).to_have_count(0)
    expect(page.get_by_role("textbox", name="New subscriber")).to_be_focused()
    page.get_by_role("button", name="Remove redhat").focus()
    press("Enter")
    expect(page.get_by_role("combobox", name="Watch a key")).to_be_focused()
