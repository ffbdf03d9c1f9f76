"""What we set out to show, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Claim", "check"]

OURS = "etcd_watcher"
WITH_INDEX = "python-etcd, a loop with an index"
PYTHONS = ["aetcd", "etcd-sdk-python", "python-etcd3", "etcd3aio", "etcd3gw", "etcd-client-py"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One of them.

    Attributes
    ----------
    holds : bool or None
        None where it was not measured.
    """

    what: str
    wanted: str
    measured: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        return {True: "holds", False: "**does not hold**", None: "not measured"}[self.holds]


class _Figures:
    """Medians, by workload, work, way and unit; each may be given in part."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def __call__(self, workload: str, work: str, way: str, unit: str = "") -> float:
        for row in self._found.get(workload, ()):
            if work in row.work and row.way == way and unit in row.unit and row.median:
                return float(row.median)
        raise LookupError


def check(found: dict[str, Any]) -> Iterator[Claim]:
    """Hold each claim against the rows of each workload."""
    figures = _Figures(found)
    for what, wanted, measure, holds in CLAIMS:
        try:
            value = measure(figures)
        except (LookupError, ValueError):
            yield Claim(what, wanted, "", None)
        else:
            shown = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004
            yield Claim(what, wanted, shown, holds(value))


def _least(bound: float) -> Callable[[float], bool]:
    return lambda value: value >= bound


def _most(bound: float) -> Callable[[float], bool]:
    return lambda value: value <= bound


def _rate(workload: str, work: str, other: str) -> Callable[[_Figures], float]:
    return lambda figures: figures(workload, work, OURS) / figures(workload, work, other)


def _times(workload: str, work: str, unit: str, other: str) -> Callable[[_Figures], float]:
    return lambda figures: (
        figures(workload, work, OURS, unit) / figures(workload, work, other, unit)
    )


def _best_python(figures: _Figures, unit: str) -> float:
    measured = []
    for way in PYTHONS:
        try:
            measured.append(figures("live", "1,000 puts/s", way, unit))
        except LookupError:
            continue
    return figures("live", "1,000 puts/s", OURS, unit) / min(measured)


def _callbacks(figures: _Figures) -> float:
    return figures("fan-out", "1,000 sub", OURS, "callbacks/s")


def _cost_by_keys(which: str) -> Callable[[_Figures], float]:
    unit = f"us of CPU an event{which}"
    return lambda figures: (
        figures("many-keys", "10,000 keys", OURS, unit)
        / figures("many-keys", "10 keys", OURS, unit)
    )


def _many(unit: str) -> Callable[[_Figures], float]:
    return lambda figures: figures("many-keys", "10,000 keys", OURS, unit)


def _beside(workload: str) -> Callable[[_Figures], float]:
    unit = "ms p99"
    return lambda figures: (
        figures(workload, f"by {OURS}", "live subscriber", unit)
        / figures(workload, "alone", "live subscriber", unit)
    )


def _import(figures: _Figures) -> float:
    return figures("start", "new process", "import etcd_watcher") / figures(
        "start", "new process", "import asyncio"
    )


_Row = tuple[str, str, Callable[[_Figures], float], Callable[[float], bool]]

LONG = "500,000 events"
TRANSACTIONS = "200,000 events, 100 a transaction"

CLAIMS: Sequence[_Row] = [
    (
        "catch-up of 100,000 single puts, times etcdctl",
        "≥ 15",
        _rate("catch-up", "100,000 events", "etcdctl"),
        _least(15),
    ),
    (
        "catch-up of 500,000 single puts, times etcdctl",
        "≥ 18",
        _rate("catch-up-long", LONG, "etcdctl"),
        _least(18),
    ),
    (
        "200,000 events at 100 a transaction, times etcdctl",
        "≥ 1.5",
        _rate("catch-up-transactions", TRANSACTIONS, "etcdctl"),
        _least(1.5),
    ),
    (
        "200,000 events at 100 a transaction, of the bare stub",
        "≥ 0.6",
        _rate("catch-up-transactions", TRANSACTIONS, "stub"),
        _least(0.6),
    ),
    (
        "live at 1,000 puts/s, p50 to the bare stub's",
        "≤ 1.25",
        _times("live", "1,000 puts/s", "ms p50", "stub"),
        _most(1.25),
    ),
    (
        "live at 1,000 puts/s, p99 to the bare stub's",
        "≤ 1.25",
        _times("live", "1,000 puts/s", "ms p99", "stub"),
        _most(1.25),
    ),
    (
        "live at 1,000 puts/s, p50 to the best Python peer's",
        "< 1",
        lambda figures: _best_python(figures, "ms p50"),
        lambda value: value < 1,
    ),
    (
        "live at 1,000 puts/s, p99 to the best Python peer's",
        "< 1",
        lambda figures: _best_python(figures, "ms p99"),
        lambda value: value < 1,
    ),
    (
        "one event to 1,000 subscribers, callbacks/s",
        "≥ 1,000,000",
        _callbacks,
        _least(1_000_000),
    ),
    (
        "one event to 1,000 subscribers, a bare loop's callbacks/s to ours (the other way to show it)",
        "≤ 2",
        lambda figures: (
            figures("fan-out", "1,000 sub", "a bare loop", "callbacks/s") / _callbacks(figures)
        ),
        _most(2),
    ),
    ("10,000 keys: connections", "1", _many("connections"), _most(1)),
    ("10,000 keys: threads of Python, the main one too", "≤ 6", _many("threads of"), _most(6)),
    ("10,000 keys: MiB over an empty watcher", "≤ 50", _many("MiB"), _most(50)),
    (
        "cost of an event with 10,000 keys, the first of each, to that with 10",
        "≤ 1.2",
        _cost_by_keys(""),
        _most(1.2),
    ),
    (
        "cost of an event with 10,000 keys, a later one of each, to that with 10",
        "≤ 1.2",
        _cost_by_keys(", of the next"),
        _most(1.2),
    ),
    (
        "v2: a burst, of python-etcd's own loop with an index",
        "≥ 0.9",
        _rate("v2", "writes", WITH_INDEX),
        _least(0.9),
    ),
    ("`import etcd_watcher` to `import asyncio`", "≤ 2", _import, _most(2)),
    (
        "a live subscriber's p99 beside a catch-up of 500,000, to alone; one server",
        "< 3",
        _beside("beside"),
        lambda value: value < 3,  # noqa: PLR2004
    ),
    (
        "a live subscriber's p99 beside a catch-up of 500,000, to alone; a cluster of three",
        "< 3",
        _beside("beside-cluster"),
        lambda value: value < 3,  # noqa: PLR2004
    ),
]
