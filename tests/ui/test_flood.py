"""Widgets in a flood: everything is counted, the page answers, and nothing grows without a bound.

The events come from a process of its own (`flood.py`), while a cell of the notebook sleeps. Frames
are compared with those of the same page while nothing happens: how many there are a second is up to
the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from etcd_watcher import LocalEtcd
from tests.ui.lab import NotebookPage, wait_until
from tests.ui.measure import Heap, Measured, Measuring

pytestmark = pytest.mark.ui

Open = Callable[..., NotebookPage]

FLOOD = Path(__file__).with_name("flood.py")

SET_UP = """
import json, time
import psutil
from etcd_watcher import Watcher
from etcd_watcher.widgets import EventLog, KeyTree, StatusBar
watcher = Watcher({url!r}, api="v3")
watcher.add_key("flood/", prefix=True)
bar, tree, log = StatusBar(watcher), KeyTree(watcher), EventLog(watcher)
widgets, called = [bar, tree, log], []
"""

DASHBOARD = """
import json, time
import psutil
from etcd_watcher import Subscriber, Watcher
from etcd_watcher.widgets import Dashboard
watcher = Watcher({url!r}, api="v3")
luis = Subscriber("Luis")
watcher.register("flood/", luis, "do_things", prefix=True)
@watcher.on("flood/", prefix=True)
def count(event):
    pass
dashboard = Dashboard(watcher)
bar, tree, log = dashboard.status_bar, dashboard.key_tree, dashboard.event_log
widgets, called = [dashboard, *(part for _, part in dashboard._parts.values())], [luis, count]
"""

FIGURES = """
print(json.dumps({
    "seen": bar._events,
    "read": sum(log._rows.read.values()),
    "missed": log.missed,
    "tree": tree._nodes.root.changes,
    "called": [watcher.delivery(who).delivered for who in called],
    "models": {type(each).__name__: each.model_id for each in widgets},
    "sent": {each.model_id: each.messages_sent for each in widgets},
    "megabytes": psutil.Process().memory_info().rss / 2**20,
}))
"""

MOST_A_SECOND = 20
FRAME = 50
"""Milliseconds within which 19 of 20 frames come, or three times what the idle page takes."""


PARTS = [SET_UP, "bar", "tree", "log", FIGURES]
WHOLE = [DASHBOARD, "dashboard", FIGURES]

LIVE = ["StatusBar", "KeyTree", "EventLog"]
LIVE_IN_WHOLE = [*LIVE, "CallbackBoard", "Timeline"]
"""What shows something in a flood."""


class Flooded:
    """A notebook with widgets, and what they went through."""

    def __init__(self, open_cells: Open, cells: list[str], url: str) -> None:
        first, *others = cells
        self.notebook = notebook = open_cells(first.format(url=url), *others)
        self.url = url
        self._figures = len(cells) - 1
        """The number of the cell that prints them."""
        for number in range(self._figures):
            notebook.run_cell(number)
        expect(notebook.page.get_by_role("grid", name="Events")).to_be_visible()
        expect(notebook.page.get_by_role("treegrid", name="Keys")).to_be_visible()
        notebook.page.get_by_role("treegrid", name="Keys").press("ArrowRight")
        self.measuring = Measuring(notebook.page)
        self.before = self.figures()
        self.heap = Heap(notebook.page)
        self.heap_before = self.heap.megabytes()
        self.idle = self.measuring.idle_frame()

    def figures(self) -> dict[str, Any]:
        self.notebook.run_cell(self._figures)
        text = self.notebook.outputs()[self._figures][0]["text"]
        figures: dict[str, Any] = json.loads(text)
        return figures

    def flood(self, rate: float, seconds: float, size: int) -> tuple[int, Measured]:
        """Flood while a cell sleeps, and give the number of events, and what the page measured."""
        self.notebook.run_new_cell(f"time.sleep({seconds + 0.5})", wait=False)
        self.measuring.begin()
        done = subprocess.run(
            [sys.executable, FLOOD, self.url, str(rate), str(seconds), str(size)],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
        return int(done.stdout.split()[0]), self.measuring.read()


def check(flooded: Flooded, events: int, measured: Measured, live: Sequence[str]) -> dict[str, Any]:
    """Check everything that holds whatever the size of the values, and give the last figures."""
    notebook = flooded.notebook
    # The cell behind the flood runs as soon as the one that sleeps has ended.
    took = notebook.run_new_cell("1 + 1")
    assert took < 3000, "the next cell had to wait"
    notebook.run_new_cell("watcher.sync(30)")
    page = notebook.page
    expect(page.locator(".ew-counted")).to_contain_text(f"of {events:,}")
    expect(page.locator(".ew-status")).to_contain_text(f"{events:,} · ")
    root = page.get_by_role("treegrid", name="Keys").get_by_role("row").nth(1)
    expect(root).to_contain_text(f"{events:,}")
    figures = flooded.figures()
    assert (figures["seen"], figures["read"], figures["tree"]) == (events, events, events)
    assert figures["missed"] == 0
    report(flooded, events, measured, figures, took)
    assert measured.slow_frame < max(FRAME, 3 * flooded.idle), sorted(measured.frames)[-20:]
    for name in live:
        assert len(measured.messages[figures["models"][name]]) >= 5, f"{name} was live"
    for model in measured.messages:
        assert measured.rate(model) <= MOST_A_SECOND
    # What the server drops, the page never sees.
    for model, sent in figures["sent"].items():
        since = sent - flooded.before["sent"][model]
        wait_until(
            lambda model=model, since=since: flooded.measuring.came(model) >= since or None,  # type: ignore[misc]
            10,
            f"of {since} messages only {flooded.measuring.came(model)} came",
        )
    return figures


def report(
    flooded: Flooded, events: int, measured: Measured, figures: dict[str, Any], took: float
) -> None:
    """Print what was measured, for who wants to know (`pytest -s`)."""
    rates = {
        name: (round(measured.rate(model), 1), measured.busiest_second(model))
        for name, model in figures["models"].items()
        if model in measured.messages
    }
    print(  # noqa: T201 - asked for
        f"\n{events:,} events; frames p95 {measured.slow_frame:.1f} ms (idle {flooded.idle:.1f}), "
        f"longest {max(measured.frames):.0f} ms; messages/s, and in the busiest second: {rates}; the next cell took {took:.0f} "
        f"ms; page heap {flooded.heap_before:.0f} -> {flooded.heap.megabytes():.0f} MB; kernel "
        f"{flooded.before['megabytes']:.0f} -> {figures['megabytes']:.0f} MB"
    )


def test_a_flood_while_a_cell_sleeps(open_cells: Open) -> None:
    with LocalEtcd() as etcd:
        flooded = Flooded(open_cells, PARTS, etcd.url)
        events, measured = flooded.flood(5000, 5, 20)
        assert events == 25_000
        check(flooded, events, measured, LIVE)
        assert flooded.heap.megabytes() < flooded.heap_before + 30


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("rate", "size"), [(5000, 20), (300, 100_000)])
@pytest.mark.parametrize("whole", [False, True], ids=["parts", "dashboard"])
def test_a_long_flood(open_cells: Open, rate: float, size: int, *, whole: bool) -> None:
    with LocalEtcd() as etcd:
        flooded = Flooded(open_cells, WHOLE if whole else PARTS, etcd.url)
        events, measured = flooded.flood(rate, 30, size)
        figures = check(flooded, events, measured, LIVE_IN_WHOLE if whole else LIVE)
        if whole:
            assert figures["called"] == [events, events], "every callback, once"
            card = flooded.notebook.page.get_by_role("region", name="Luis", exact=True)
            expect(card).to_contain_text(f"{events:,} delivered")
        journal = 64 * 2  # megabytes: values in the journal, and what the allocator keeps beside
        assert figures["megabytes"] < flooded.before["megabytes"] + journal + 150
        assert flooded.heap.megabytes() < flooded.heap_before + 50


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_pause_in_a_flood_and_go_on_without_a_missing_revision(
    open_cells: Open, *, whole: bool
) -> None:
    with LocalEtcd() as etcd:
        flooded = Flooded(open_cells, WHOLE if whole else PARTS, etcd.url)
        page = flooded.notebook.page
        flooded.notebook.run_new_cell("time.sleep(5)", wait=False)
        writer = subprocess.Popen(
            [sys.executable, FLOOD, etcd.url, "2000", "4", "20"], stdout=subprocess.PIPE, text=True
        )
        counted = page.locator(".ew-counted")
        expect(counted).to_contain_text(",")
        page.get_by_role("button", name="Pause").click()
        expect(counted).to_contain_text("waiting")
        newest = page.get_by_role("grid", name="Events").get_by_role("row").last.inner_text()
        page.wait_for_timeout(1000)  # the flood goes on
        assert (
            page.get_by_role("grid", name="Events").get_by_role("row").last.inner_text() == newest
        )
        page.get_by_role("button", name="Resume").click()
        events = int(writer.communicate(timeout=60)[0].split()[0])
        flooded.notebook.run_new_cell("watcher.sync(30)")
        expect(counted).to_contain_text(f"{events:,} shown of {events:,}")
        cell = """
        revisions = [record.revision for record in log.records]
        print(len(revisions), len(set(revisions)), revisions[-1] - revisions[0] + 1, log.missed)
        """
        flooded.notebook.run_new_cell(cell)
        text = flooded.notebook.outputs()[-1][0]["text"]
        assert text.split() == [str(events), str(events // 50), str(events // 50), "0"]
