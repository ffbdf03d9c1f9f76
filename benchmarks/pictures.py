"""The figures as pictures: SVG, the same for the same figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["NAMES", "draw"]

NAMES = {
    "catch-up": "benchmark-catch-up.svg",
    "catch-up-transactions": "benchmark-catch-up-transactions.svg",
    "live": "benchmark-live.svg",
    "fan-out": "benchmark-fan-out.svg",
}
OURS, OTHERS = "#0b6e4f", "#9aa5b1"


def draw(found: dict[str, Any], folder: Path) -> None:
    """Draw what there is a picture of into a folder."""
    import matplotlib as mpl  # noqa: PLC0415 - only who writes the page needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "etcd_watcher"  # the same picture for the same figures
    mpl.rcParams["font.size"] = 9
    how: dict[str, Callable[[Any, Any], None]] = {
        "catch-up": lambda rows, mpl_: _bars(rows, mpl_, "events/s"),
        "catch-up-transactions": lambda rows, mpl_: _bars(rows, mpl_, "events/s"),
        "live": _latencies,
        "fan-out": lambda rows, mpl_: _bars(rows, mpl_, "callbacks/s"),
    }
    folder.mkdir(exist_ok=True)
    for name, drawing in how.items():
        if found.get(name):
            import matplotlib.pyplot as plt  # noqa: PLC0415

            drawing(found[name], plt)
            plt.savefig(folder / NAMES[name], metadata={"Date": None}, bbox_inches="tight")
            plt.close()


def _bars(rows: Any, plt: Any, unit: str) -> None:
    """Draw one panel for each amount of work, a bar for each way, on one scale."""
    shown = [row for row in rows if row.unit == unit and row.median]
    works = list(dict.fromkeys(row.work for row in shown))
    most = max(len([row for row in shown if row.work == work]) for work in works)
    _, panels = plt.subplots(
        1, len(works), figsize=(3.6 * len(works) + 1, 0.32 * most + 1), sharex=True, squeeze=False
    )
    for panel, work in zip(panels[0], works, strict=True):
        ways = [row for row in shown if row.work == work][::-1]
        values = [row.median for row in ways]
        errors = [
            [row.median - min(row.figures) for row in ways],
            [max(row.figures) - row.median for row in ways],
        ]
        colors = [OURS if row.way == "etcd_watcher" else OTHERS for row in ways]
        panel.barh([row.way for row in ways], values, xerr=errors, color=colors, ecolor="#444")
        panel.set_title(work, fontsize=9)
        panel.set_xlabel(unit)
        panel.spines[["top", "right"]].set_visible(False)


def _latencies(rows: Any, plt: Any) -> None:
    """Draw p50, p99 and p99.9 of each way, on a logarithmic scale."""
    works = list(dict.fromkeys(row.work for row in rows))
    _, panels = plt.subplots(
        1, len(works), figsize=(3.6 * len(works) + 1, 3.8), sharex=True, squeeze=False
    )
    for panel, work in zip(panels[0], works, strict=True):
        ways = list(dict.fromkeys(row.way for row in rows if row.work == work))[::-1]
        for unit, mark in (("ms p50", "o"), ("ms p99", "|"), ("ms p99.9", ".")):
            at = {r.way: r.median for r in rows if (r.work, r.unit) == (work, unit) and r.median}
            colors = [OURS if way == "etcd_watcher" else OTHERS for way in at]
            panel.scatter(list(at.values()), [ways.index(way) for way in at], c=colors, marker=mark)
        panel.set_yticks(range(len(ways)), ways)
        panel.set_xscale("log")
        panel.set_title(f"{work} (o p50, | p99, . p99.9)", fontsize=9)
        panel.set_xlabel("ms")
        panel.spines[["top", "right"]].set_visible(False)
