"""`etcd-watcher record`: what happens to some keys, in a file."""

from __future__ import annotations

import argparse
import sys

from etcd_watcher.cli.connection import connected
from etcd_watcher.cli.lines import say
from etcd_watcher.cli.signals import Stop, die_of
from etcd_watcher.recording.recorder import Recorder
from etcd_watcher.table import plural

__all__ = ["run"]

LOOK = 500
"""Milliseconds between two looks whether the file can still be written."""


def run(options: argparse.Namespace) -> int:
    """Record each change of the keys until somebody ends it."""
    with connected(options) as watcher, Stop() as stop:
        watcher.add_key(options.key, prefix=options.prefix)
        recorder = watcher.record(options.file, overwrite=options.overwrite)
        try:
            if sys.stderr is not None and sys.stderr.isatty():
                say(f"recording to {options.file}; Ctrl-C ends it")
            number = _until_the_end(recorder, stop)
        finally:
            recorder.close()
    say(f"{plural(len(recorder), 'record')} in {options.file}")
    if recorder.error is not None:
        raise recorder.error
    if number:
        die_of(number)
    return 0


def _until_the_end(recorder: Recorder, stop: Stop) -> int:
    """Wait for a signal, and give it; 0 where the file can be written no further."""
    while recorder.recording:
        number = stop.wait(LOOK)
        if number:
            return number
    return 0
