"""`CallbackBoard`: every line in the card it belongs to, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.ui.lab import NotebookPage
from tests.ui.parts import card

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

SET_UP = """
from etcd_watcher import LocalEtcd, Subscriber, Watcher
from etcd_watcher.widgets import CallbackBoard
etcd = LocalEtcd()
watcher = Watcher(etcd.url, api="v3")
"""

TWO_SUBSCRIBERS = """
import matplotlib.pyplot as plt
from IPython.display import display

class Plotter(Subscriber):
    def plot(self, key, value):
        print(f"{self.name} plots {value}")
        figure, axes = plt.subplots(figsize=(2, 1))
        axes.plot([0, int(value)])
        display(figure)
        if int(value) % 2:
            raise ValueError(f"{value} is odd")

ana, eva = Plotter("Ana"), Plotter("Eva")
watcher.register("a", ana, "plot")
watcher.register("b", eva, "plot")
"""


WRITE = """
import time
for number in range({first}, {first} + 6):
    print("the cell says", number)
    watcher.put("a", str(number))
    watcher.put("b", str(number + 100))
    time.sleep(0.1)
watcher.sync()
"""


def said_by_the_cell(first: int) -> str:
    return "".join(f"the cell says {number}\n" for number in range(first, first + 6))


def test_every_line_lands_where_it_belongs(open_cells: Open) -> None:
    notebook = open_cells(
        SET_UP,
        "CallbackBoard(watcher)",
        TWO_SUBSCRIBERS,
        WRITE.format(first=0),
    )
    notebook.run_all()
    assert not notebook.errors()
    page = notebook.page
    page.set_viewport_size({"width": 1100, "height": 2400})  # JupyterLab hides cells out of sight

    def check() -> None:
        for name, numbers in (("Ana", range(6)), ("Eva", range(100, 106))):
            mine = card(page, name)
            expect(mine.locator("img")).to_have_count(6)
            for number in numbers:
                expect(mine).to_contain_text(f"{name} plots {number}")
                if number % 2:
                    expect(mine).to_contain_text(f"ValueError: {number} is odd")
            expect(mine).to_contain_text("3 delivered")
            expect(mine).to_contain_text("3 failed")
            other = "Eva" if name == "Ana" else "Ana"
            expect(mine).not_to_contain_text(f"{other} plots")
            expect(mine).not_to_contain_text("the cell says")

    check()
    cells = notebook.outputs()
    assert "".join(each.get("text", "") for each in cells[3]) == said_by_the_cell(0)
    assert [len(each) for each in cells] == [0, 1, 0, 1]
    notebook.save_and_reload()
    check()

    # What comes after that lands there, too, beside a cell that prints meanwhile.
    notebook.run_new_cell(WRITE.format(first=6))
    assert notebook.outputs()[-1][0]["text"] == said_by_the_cell(6)
    for name, last in (("Ana", 11), ("Eva", 111)):
        mine = card(page, name)
        expect(mine).to_contain_text(f"{name} plots {last}")
        expect(mine).to_contain_text(f"ValueError: {last} is odd")
        expect(mine).to_contain_text("6 failed")
        expect(mine).not_to_contain_text("the cell says")

    # Who is not subscribed any more has been told what they were told.
    notebook.run_new_cell("watcher.unregister('a', ana)")
    anas = card(page, "Ana")
    expect(anas).to_contain_text("not subscribed")
    expect(anas).to_contain_text("6 delivered")
    expect(anas).to_contain_text("6 failed")

    # It is bounded, and says so; it is folded and emptied.
    notebook.run_new_cell(
        """
        class Talker(Subscriber):
            def talk(self, key, value):
                print(*range(int(value)), sep="\\n")
        watcher.register("c", Talker("Zoe"), "talk")
        watcher.put("c", "250")
        watcher.sync()
        """
    )
    zoe = card(page, "Zoe")
    expect(zoe).to_contain_text("… 50 earlier lines: a card keeps the last 200 lines")
    expect(zoe).to_contain_text("249")
    fold = zoe.get_by_role("heading", name="Zoe").get_by_role("button")
    fold.click()
    expect(zoe.get_by_role("group", name="Output of Zoe")).to_be_hidden()
    fold.click()
    zoe.get_by_role("button", name="Clear Zoe").click()
    expect(zoe).to_contain_text("Nothing yet.")
    expect(card(page, "Ana")).to_contain_text("Ana plots 5")
