"""What a log's page gets of its rows: short lines for the table, and one event in full."""

from __future__ import annotations

from etcd_watcher.event import Event, Gap
from etcd_watcher.table import plural
from etcd_watcher.widgets.base import Message
from etcd_watcher.widgets.differences import differences
from etcd_watcher.widgets.filters import kind_of_record
from etcd_watcher.widgets.log_rows import Missed, Row
from etcd_watcher.widgets.shown_text import block, cell, pretty, python_literal, words

__all__ = ["as_python", "details", "line", "shown_value"]

KEY_WIDTH = 120
VALUE_WIDTH = 160
"""Characters of a key and of a value in the table."""

VALUE_BYTES = 200_000
"""Bytes of a value that an opened event shows; Python has them all."""


def line(row: Row) -> Message:
    """Give a row of the table."""
    message: Message = {"number": row.number, "came": row.came, "kind": _kind(row)}
    record = row.record
    if isinstance(record, Event):
        message |= {
            "revision": record.revision,
            "key": cell(record.raw_key, KEY_WIDTH),
            "value": None if record.raw_value is None else cell(record.raw_value, VALUE_WIDTH),
        }
        if record.lease:
            message["lease"] = f"{record.lease:x}"
        if record.synthetic:
            message["synthetic"] = True
        if row.of > 1:
            message |= {"place": row.place, "of": row.of}
    else:
        message["note"] = _note(row)
        if isinstance(record, Gap):
            message["revision"] = record.first
    return message


def _kind(row: Row) -> str:
    return "missed" if isinstance(row.record, Missed) else kind_of_record(row.record)


def _note(row: Row) -> str:
    record = row.record
    if isinstance(record, Event):
        return ""
    if isinstance(record, Gap):
        return f"revisions {record.first} to {record.last} are lost: {words(record.reason)}"
    if isinstance(record, Missed):
        return (
            f"{plural(record.count, 'record')} were forgotten by the journal before they were shown"
            " here; Watcher(journal_events=…, journal_bytes=…) lets it keep more"
        )
    place = f" {words(record.endpoint)}" if record.endpoint else ""
    reason = f": {words(record.reason)}" if record.reason else ""
    return f"{record.state}{place}{reason}"


def details(row: Row) -> Message:
    """Give all there is to know of a row."""
    message = line(row)
    record = row.record
    if not isinstance(record, Event):
        return message
    message |= {
        "action": words(record.action),
        "created": record.created,
        "version": record.version,
        "size": None if record.raw_value is None else len(record.raw_value),
        "full_key": block(record.raw_key, VALUE_BYTES)[0],
        "python": as_python(record),
        "before": shown_value(record.raw_prev_value),
        "after": shown_value(record.raw_value),
        "differences": None,
    }
    if record.raw_prev_value is not None and record.raw_value is not None:
        message["differences"] = differences(record.raw_prev_value, record.raw_value)
    return message


def shown_value(raw: bytes | None) -> Message | None:
    """Give the beginning of a value, JSON laid out; None for none."""
    if raw is None:
        return None
    formatted = pretty(raw) if len(raw) <= VALUE_BYTES else None
    text, whole = block(raw, VALUE_BYTES)
    return {"text": text if formatted is None else formatted, "whole": whole, "size": len(raw)}


def as_python(event: Event) -> str:
    """Give a line of Python that makes the same change once more."""
    key = python_literal(event.raw_key)
    if event.raw_value is None:
        return f"watcher.delete({key})"
    if len(event.raw_value) > VALUE_BYTES:
        return f"watcher.put({key}, log.selected.raw_value)"
    return f"watcher.put({key}, {python_literal(event.raw_value)})"
