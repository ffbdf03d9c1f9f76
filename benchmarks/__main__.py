"""Run the benchmarks, side by side with other ways, and print what was measured.

    python -m benchmarks [--rounds N] [NAME ...]

Each workload runs every way in turn, round after round, on the same server; the table gives the
median of the rounds, and the spread. Wins and losses are printed alike.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable

from benchmarks.burst import burst
from benchmarks.keys import keys
from benchmarks.measure import Measurement

WORKLOADS: dict[str, Callable[[], list[Measurement]]] = {"burst": burst, "keys": keys}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(WORKLOADS)
    if unknown or arguments.rounds < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--rounds must be 1 or more")
    print(f"Python {platform.python_version()}, {platform.machine()}")
    for name in arguments.names or WORKLOADS:
        print(f"\n{name}: {WORKLOADS[name].__doc__}")
        rounds = [WORKLOADS[name]() for _ in range(arguments.rounds)]
        for way in zip(*rounds, strict=True):
            figures = [each.figure for each in way]
            low, high = min(figures), max(figures)
            median = statistics.median(figures)
            notes = ", ".join(dict.fromkeys(each.note for each in way if each.note))
            print(
                f"  {way[0].way:40} {median:12,.0f} {way[0].unit:12} "
                f"({low:,.0f} to {high:,.0f})  {notes}"
            )


main()
