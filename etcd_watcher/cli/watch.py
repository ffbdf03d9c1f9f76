"""`etcd-watcher watch`: each change as a line."""

from __future__ import annotations

import argparse
import sys
import time

from etcd_watcher.cli.connection import connected
from etcd_watcher.cli.lines import Lines
from etcd_watcher.cli.signals import watch_for_reader
from etcd_watcher.event import Gap

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print each change of the keys until somebody ends it."""
    lines = Lines(sys.stdout, json=options.json, colour=options.color)
    with watch_for_reader(sys.stdout.fileno()), connected(options) as watcher:
        # The events come from a stream, which loses none however slowly they are printed; a gap is
        # in the journal alone, ahead of the events that follow it.
        gaps = watcher.journal.cursor()
        with watcher.events(options.key, prefix=options.prefix, since=options.since) as events:
            for event in events:
                for record in gaps.read():
                    if isinstance(record, Gap):
                        lines.write(record, time.time())
                lines.write(event, time.time())
    return 0
