"""`etcd-watcher replay`: a recording as lines, at the pace at which it was recorded."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from etcd_watcher.cli.lines import Lines, say
from etcd_watcher.cli.signals import watch_for_reader
from etcd_watcher.event import Event, Record, Status
from etcd_watcher.journal import flat_range
from etcd_watcher.keys import to_text
from etcd_watcher.listing import is_news
from etcd_watcher.recording.file import Recording
from etcd_watcher.recording.playhead import Playhead
from etcd_watcher.recording.steps import steps_of
from etcd_watcher.stores.v2_keys import tree_range

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print each record of a recording when it is due."""
    recording = Recording(options.file)
    for key in options.key:
        if not recording.events(key, prefix=options.prefix):
            what = "change of a key that begins with" if options.prefix else "change of the key"
            say(f"{recording.name} has no {what} {to_text(key)!r}")
    wanted = _wanted(recording, options.key, prefix=options.prefix)
    lines = Lines(sys.stdout, json=options.json, colour=options.color)
    times = iter(
        at for each, at in zip(recording.records, recording.times, strict=True) if _is_played(each)
    )
    clock = Playhead(options.speed)
    clock.run()
    with watch_for_reader(sys.stdout.fileno()):
        for step in steps_of(recording):
            time.sleep(clock.wait(step.due))
            for record in (*step.notes, *step.events):
                at = next(times)
                if wanted(record) and (lines.json or is_news(record)):
                    lines.write(record, at)
    if recording.cut_off:
        say(f"{recording.name} ends in the middle of a line: whoever recorded it was interrupted")
    return 0


def _is_played(record: Record) -> bool:
    """Tell whether a record is in a step: the closing of the watcher that was recorded is not."""
    return not (isinstance(record, Status) and record.state == "closed")


def _wanted(recording: Recording, keys: list[bytes], *, prefix: bool) -> Callable[[Record], bool]:
    """Give what tells whether somebody asked for a record; of what is no event, everybody did."""
    key_range = {"v2": tree_range, "v3": flat_range}[recording.api]
    scopes = [key_range(key, prefix=prefix) for key in keys]

    def wanted(record: Record) -> bool:
        if not scopes or not isinstance(record, Event):
            return True
        return any(record.raw_key in scope for scope in scopes)

    return wanted
