"""`ValueEditor`: nobody's write is overwritten unseen, and elsewhere it only looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import NotebookPage
from tests.ui.looks import in_both_themes, take_picture
from tests.ui.parts import button

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import Watcher
from etcd_watcher.widgets import ValueEditor
watcher = Watcher({url!r}, api="v3")
editor = ValueEditor(watcher, key="nokia")
elsewhere = ValueEditor(Watcher({elsewhere!r}, api="v3"), key="nokia")
"""


@pytest.fixture
def etcd() -> Iterator[LocalEtcd]:
    with LocalEtcd() as etcd:
        etcd.put("nokia", "nokia news 0")
        yield etcd


def value(editor: Locator) -> Locator:
    return editor.get_by_role("textbox", name="Value")


def test_put_conflict_lease_and_delete(open_cells: Open, etcd: LocalEtcd, tmp_path: Path) -> None:
    # Every address of a machine leads to it, but not every one is known to: this one counts as
    # somebody else's.
    elsewhere = etcd.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - nothing is bound to it
    notebook = open_cells(SET_UP.format(url=etcd.url, elsewhere=elsewhere), "editor", "elsewhere")
    notebook.run_all()
    assert not notebook.errors()
    editors = notebook.page.get_by_role("group", name="Value editor")
    editor, looking = editors.nth(0), editors.nth(1)

    expect(value(editor)).to_have_value("nokia news 0")
    value(editor).fill("nokia news 1")
    button(editor, "Put nokia").click()
    expect(editor).to_contain_text("Written: revision 3.")
    assert etcd.get("nokia") == "nokia news 1"

    # On a server that is not known to be this machine's it only looks.
    expect(value(looking)).to_have_value("nokia news 1")
    expect(looking).to_contain_text("Read-only. ValueEditor(watcher, read_only=False) writes, too.")
    expect(value(looking)).to_have_attribute("readonly", "")
    for name in ("Put nokia", "Delete nokia"):
        expect(button(looking, name)).to_be_hidden()

    check_that_nothing_is_overwritten_unseen(editor, etcd, tmp_path)
    check_leases(editor, etcd)
    check_deletion(editor, etcd)


def check_that_nothing_is_overwritten_unseen(
    editor: Locator, etcd: LocalEtcd, tmp_path: Path
) -> None:
    # Nobody has typed: what somebody else writes shows by itself.
    etcd.put("nokia", "theirs 1")
    expect(value(editor)).to_have_value("theirs 1")
    # Somebody has: it says so, and leaves what was typed.
    value(editor).fill("mine")
    etcd.put("nokia", "theirs 2")
    expect(editor).to_contain_text("Somebody else has written revision 5 since this was shown.")
    expect(value(editor)).to_have_value("mine")
    button(editor, "Put nokia").click()
    conflict = editor.get_by_role("alert").filter(has_text="Nothing was written.")
    overwrite = button(conflict, "Overwrite theirs")
    overwrite.focus()
    editor.page.wait_for_timeout(1200)  # the kernel repeats itself meanwhile
    expect(overwrite).to_be_focused()
    expect(conflict).to_contain_text("revision 5 meanwhile; you have seen revision 4")
    expect(conflict).to_contain_text("removed: theirs 2")
    expect(conflict).to_contain_text("added: mine")
    assert etcd.get("nokia") == "theirs 2"
    for theme in in_both_themes(editor.page):
        take_picture(editor, f"conflict-{theme}", tmp_path)
    overwrite.press("Enter")
    expect(editor).to_contain_text("Written: revision 6.")
    expect(conflict).to_be_hidden()
    assert etcd.get("nokia") == "mine"


def check_leases(editor: Locator, etcd: LocalEtcd) -> None:
    lives = editor.get_by_role("combobox", name="How long the key lives")
    lives.select_option("lives for … seconds")
    editor.get_by_role("spinbutton", name="Seconds to live").fill("600")
    value(editor).fill("for a while")
    button(editor, "Put nokia").click()
    facts = editor.locator(".ew-facts")
    expect(facts).to_contain_text("s to live")
    lease = re.search(r"lease ([0-9a-f]+)", facts.inner_text())
    assert lease
    # Another key on the same lease: it does not exist yet.
    key = editor.get_by_role("textbox", name="Key")
    key.fill("redhat")
    key.press("Enter")
    expect(facts).to_contain_text("not there yet")
    lives.select_option("hangs on the lease …")
    editor.get_by_role("textbox", name="Lease").fill("no lease")
    button(editor, "Create redhat").click()
    expect(editor.get_by_role("alert")).to_contain_text("'no lease' is no lease")
    editor.get_by_role("textbox", name="Lease").fill(lease[1])
    value(editor).fill("as long")
    button(editor, "Create redhat").click()
    expect(facts).to_contain_text(lease[0])
    assert etcd.get("redhat") == "as long"


def check_deletion(editor: Locator, etcd: LocalEtcd) -> None:
    button(editor, "Delete redhat").click()
    button(editor, "Keep it").click()
    expect(button(editor, "Delete redhat")).to_be_focused()
    assert etcd.get("redhat") == "as long"
    button(editor, "Delete redhat").click()
    button(editor, "Really delete redhat").press("Enter")
    expect(editor).to_contain_text("Deleted.")
    expect(editor.get_by_role("textbox", name="Key")).to_be_focused()
    assert etcd.get("redhat") is None
    # What somebody has written meanwhile is not deleted unseen either.
    key = editor.get_by_role("textbox", name="Key")
    key.fill("nokia")
    key.press("Enter")
    expect(value(editor)).to_have_value("for a while")
    value(editor).fill("typed, so that it stays")
    etcd.put("nokia", "written meanwhile")
    button(editor, "Delete nokia").click()
    button(editor, "Really delete nokia").click()
    expect(editor.get_by_role("alert")).to_contain_text("Nothing was deleted.")
    assert etcd.get("nokia") == "written meanwhile"
    button(editor, "Take theirs").click()
    expect(value(editor)).to_have_value("written meanwhile")


SLOW = """
import threading
may_read, read = threading.Event(), watcher.read
watcher.read = lambda key: may_read.wait(60) and read(key)
"""


def opened_before_a_slow_server(open_cells: Open, etcd: LocalEtcd) -> tuple[NotebookPage, Locator]:
    """Give an editor that shows nokia, and reads no more before `may_read.set()`."""
    etcd.put("redhat", "redhat news 0")
    notebook = open_cells(SET_UP.format(url=etcd.url, elsewhere=etcd.url), SLOW, "editor")
    notebook.run_cell(0)
    notebook.run_cell(2)
    editor = notebook.page.get_by_role("group", name="Value editor")
    expect(value(editor)).to_have_value("nokia news 0")
    notebook.run_cell(1)
    return notebook, editor


def test_what_is_typed_while_the_server_takes_its_time_stays(
    open_cells: Open, etcd: LocalEtcd
) -> None:
    notebook, editor = opened_before_a_slow_server(open_cells, etcd)

    # What somebody else has written is being read, to be shown by itself; then a person types.
    etcd.put("nokia", "theirs")
    expect(editor).to_have_attribute("aria-busy", "true")
    value(editor).press_sequentially(", and mine")
    notebook.run_new_cell("may_read.set()")
    expect(editor).to_contain_text("Somebody else has written revision 4 since this was shown.")
    expect(value(editor)).to_have_value("nokia news 0, and mine")
    button(editor, "Put nokia").click()
    expect(editor.get_by_role("alert")).to_contain_text("you have seen revision 2")
    assert etcd.get("nokia") == "theirs"
    button(editor, "Overwrite theirs").click()
    expect(editor).to_contain_text("Written: revision 5.")

    # They type on while what they have put is read again.
    notebook.run_new_cell("may_read.clear()")
    value(editor).fill("more")
    button(editor, "Put nokia").click()
    expect(editor).to_contain_text("Written: revision 6.")
    value(editor).press_sequentially(" and more")
    notebook.run_new_cell("may_read.set()")
    expect(editor.locator(".ew-facts")).to_contain_text("revision 6")
    expect(value(editor)).to_have_value("more and more")
    button(editor, "Put nokia").click()
    expect(editor).to_contain_text("Written: revision 7.")
    assert etcd.get("nokia") == "more and more"


def test_what_was_typed_is_there_again_when_its_key_is_opened_again(
    open_cells: Open, etcd: LocalEtcd
) -> None:
    notebook, editor = opened_before_a_slow_server(open_cells, etcd)

    # One key's value is not offered as another's.
    value(editor).fill("not put yet")
    notebook.run_new_cell("may_read.clear(); editor.key = 'redhat'")
    expect(editor).to_contain_text("reading …")
    expect(value(editor)).to_have_value("")
    expect(value(editor)).not_to_be_editable()
    expect(button(editor, "Put redhat")).to_be_disabled()
    notebook.run_new_cell("may_read.set()")
    expect(value(editor)).to_have_value("redhat news 0")
    expect(button(editor, "Put redhat")).to_be_enabled()

    # And what was typed there is there again, to replace what it would have replaced.
    etcd.put("nokia", "theirs again")
    notebook.run_new_cell("editor.key = 'nokia'")
    expect(value(editor)).to_have_value("not put yet")
    expect(editor).to_contain_text("Somebody else has written revision 4 since this was shown.")
    button(editor, "Undo").click()
    expect(value(editor)).to_have_value("theirs again")
    notebook.run_new_cell("editor.key = 'redhat'")
    expect(value(editor)).to_have_value("redhat news 0")
    notebook.run_new_cell("editor.key = 'nokia'")
    expect(value(editor)).to_have_value("theirs again")

    # So is what could not be written.
    value(editor).fill("\\q")
    editor.get_by_role("checkbox", name="with escapes").check()
    button(editor, "Put nokia").click()
    expect(editor.get_by_role("alert")).to_contain_text("no escape")
    notebook.run_new_cell("editor.key = 'redhat'")
    expect(value(editor)).to_have_value("redhat news 0")
    notebook.run_new_cell("editor.key = 'nokia'")
    expect(value(editor)).to_have_value("\\q")
    expect(editor.get_by_role("checkbox", name="with escapes")).to_be_checked()

    # What was written is nobody else's, though another key was opened before it was read.
    notebook.run_new_cell("may_read.clear()")
    value(editor).fill("\\x41")
    button(editor, "Put nokia").click()
    expect(editor).to_contain_text("Written: revision 5.")
    notebook.run_new_cell("editor.key = 'redhat'; may_read.set()")
    expect(value(editor)).to_have_value("redhat news 0")
    notebook.run_new_cell("editor.key = 'nokia'")
    expect(value(editor)).to_have_value("A")
    expect(editor.get_by_text("Somebody else")).to_be_hidden()

    # Who deletes a key has no use for what they have typed there.
    value(editor).fill("never mind")
    button(editor, "Delete nokia").click()
    button(editor, "Really delete nokia").click()
    expect(editor.locator(".ew-facts")).to_have_text("not there yet")
    expect(value(editor)).to_have_value("")
