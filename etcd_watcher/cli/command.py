"""From arguments to an exit status."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from etcd_watcher.cli.lines import say
from etcd_watcher.cli.options import parse
from etcd_watcher.cli.signals import die_of
from etcd_watcher.cli.words import for_a_shell
from etcd_watcher.errors import EtcdWatcherError

__all__ = ["run"]

FAILED = 1
MISUSED = 2
"""As argparse says it."""


def run(arguments: Sequence[str] | None) -> int:
    """Do what the arguments say, and give the exit status; see `etcd_watcher.cli.main`."""
    if sys.stdout is None:  # started with it closed
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may have fewer characters than we
            stream.reconfigure(errors="backslashreplace")
    try:
        return _carry_out(sys.argv[1:] if arguments is None else arguments)
    except EtcdWatcherError as error:
        say(for_a_shell(str(error)))
        return FAILED
    except ValueError as error:
        say(for_a_shell(str(error)))
        return MISUSED
    except BrokenPipeError:  # nobody reads what we write
        die_of(signal.SIGPIPE)
        raise
    except OSError as error:
        named = error.filename is not None and error.strerror
        say(f"{error.filename}: {error.strerror}" if named else str(error))
        return FAILED


def _carry_out(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
        status: int = importlib.import_module(options.run).run(options)
    finally:
        sys.stdout.flush()  # while it can be said that it fails
    return status
