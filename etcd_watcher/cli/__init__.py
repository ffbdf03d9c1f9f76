"""The command `etcd-watcher`; see docs/command-line.md."""

from __future__ import annotations

from collections.abc import Sequence

from etcd_watcher.cli.signals import die_of_signals

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `etcd-watcher`, and give its exit status.

    0: it did what it was told. 1: it could not, and says why on standard error. 2: it was told
    something that cannot be meant. A signal ends it without a word: a shell calls that 130 for
    Ctrl-C, 143 for SIGTERM, 129 for a closed terminal and 141 for a closed pipe.
    """
    die_of_signals()
    # What is behind this import takes 0.1 s, in which a person may have thought better.
    from etcd_watcher.cli.command import run  # noqa: PLC0415

    return run(arguments)
