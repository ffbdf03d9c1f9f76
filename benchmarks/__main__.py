"""Run the benchmarks side by side with other ways, and write down what was measured.

    python -m benchmarks [--rounds N] [--scale X] [--save] [NAME ...]
    python -m benchmarks --report

The ways of a workload take turns, round after round, on the same server; the tables give the median
of the rounds, and their spread. `--save` puts the result in docs/benchmarks.json, and writes the
page docs/benchmarks.md and its pictures anew. `--scale 0.001` does a thousandth of the work: to see
that everything runs. Wins and losses are written down alike.
"""

from __future__ import annotations

import argparse
import compileall
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil

from benchmarks import report
from benchmarks.beside import beside, beside_cluster
from benchmarks.catchup import catch_up, catch_up_long, catch_up_transactions
from benchmarks.fanout import fan_out, many_keys
from benchmarks.live import live
from benchmarks.measure import Measurement, Size
from benchmarks.memory import memory
from benchmarks.recording import recording
from benchmarks.slow import slow
from benchmarks.start import start
from benchmarks.sync import sync
from benchmarks.v2 import v2

PACKAGE = Path(__file__).parents[1] / "etcd_watcher"

SIGNALS = (signal.SIGINT, signal.SIGTERM)

PATIENCE = 5.0
"""Seconds for what is under way to end in order, once there was a signal."""

Workload = Callable[[Size], Iterator[Measurement]]

WORKLOADS: dict[str, Workload] = {
    "catch-up": catch_up,
    "catch-up-long": catch_up_long,
    "catch-up-transactions": catch_up_transactions,
    "live": live,
    "fan-out": fan_out,
    "many-keys": many_keys,
    "slow": slow,
    "memory": memory,
    "v2": v2,
    "recording": recording,
    "sync": sync,
    "start": start,
    "beside": beside,
    "beside-cluster": beside_cluster,
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--save", action="store_true", help="write down the result")
    parser.add_argument("--report", action="store_true", help="write the page anew, and no more")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(WORKLOADS)
    if unknown or arguments.rounds < 1 or arguments.scale <= 0:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "how much is too little")
    if arguments.report:
        report.write()
        return
    # As an installed package is, the peers too; else each process would compile ours anew.
    compileall.compile_dir(PACKAGE, quiet=2)
    size = Size(arguments.rounds, arguments.scale)
    for number in SIGNALS:
        signal.signal(number, _leave)
    try:
        for name in arguments.names or WORKLOADS:
            _run(name, size, save=arguments.save)
    finally:
        _end_the_rest()


def _leave(number: int, _frame: object) -> NoReturn:
    """Unwind: whoever started a server or a way ends it as the exception comes by."""
    for each in SIGNALS:  # a second one would cut that short
        signal.signal(each, signal.SIG_IGN)
    # An exception in the midst of gRPC's own locking has had the channel's close() wait for ever.
    timer = threading.Timer(PATIENCE, _leave_at_once, [128 + number])
    timer.daemon = True
    timer.start()
    sys.exit(128 + number)


def _leave_at_once(status: int) -> None:
    _end_the_rest()
    os._exit(status)


def _end_the_rest() -> None:
    """End what our threads have under way, which no exception reaches.

    By SIGTERM, at which the guardian of a server tidies up.
    """
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            each.terminate()


def _run(name: str, size: Size, *, save: bool) -> None:
    workload = WORKLOADS[name]
    title = (workload.__doc__ or "").strip()
    print(f"\n{name}: {title}")
    before = os.getloadavg()[0]
    found = []
    for each in workload(size):
        found.append(each)
        if sys.stdout.isatty():
            print(f"\r\033[K  {each.work}, {each.way}: {each.figure:,.2f} {each.unit}", end="")
    result = report.Result(name, title, report.command(name, size), before, found)
    print("\r\033[K" if sys.stdout.isatty() else "", end="")
    print(report.as_text(result))
    if save:
        report.save(result)
        report.write()


main()
