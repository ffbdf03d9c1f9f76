"""The rows of a log for other programs: CSV, JSON lines, a DataFrame."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from etcd_watcher.event import Event, Gap
from etcd_watcher.widgets.filters import kind_of_record
from etcd_watcher.widgets.log_rows import Missed, Row

__all__ = ["FORMATS", "to_csv", "to_frame", "to_json_lines"]

COLUMNS = (
    *("time", "revision", "type", "key", "value", "lease"),
    *("prev_value", "created", "version", "synthetic"),
)


def _time(row: Row) -> datetime:
    return datetime.fromtimestamp(row.came, UTC)


def _fields(row: Row) -> dict[str, Any]:
    """Give a row as values; keys and values as bytes, a note's text as its value."""
    record = row.record
    if isinstance(record, Event):
        return {
            "time": _time(row),
            "revision": record.revision,
            "type": kind_of_record(record),
            "key": record.raw_key,
            "value": record.raw_value,
            "lease": f"{record.lease:x}" if record.lease else None,
            "prev_value": record.raw_prev_value,
            "created": record.created or None,
            "version": record.version or None,
            "synthetic": record.synthetic,
        }
    fields: dict[str, Any] = dict.fromkeys(COLUMNS) | {"time": _time(row), "synthetic": False}
    if isinstance(record, Missed):
        return fields | {"type": "missed", "value": f"{record.count} records".encode()}
    if isinstance(record, Gap):
        note = f"{record.first} to {record.last}: {record.reason}"
        return fields | {"type": "gap", "revision": record.first, "value": _raw(note)}
    note = " ".join(filter(None, [record.state, record.endpoint, record.reason]))
    return fields | {"type": "connection", "value": _raw(note)}


def _raw(note: str) -> bytes:
    """Give a note as bytes. A stranger's recording may have lone surrogates in one."""
    return note.encode("utf-8", "backslashreplace")


def _text(value: Any) -> Any:
    r"""Give bytes as text, those that are not UTF-8 as `\xff`; times as ISO 8601."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if isinstance(value, datetime) else value


def to_csv(rows: Iterable[Row]) -> Iterator[str]:
    r"""Give CSV, line by line: times in UTC, bytes that are not UTF-8 as `\xff`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_text(each) for each in _fields(row).values()])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def to_json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Give a JSON object a line.

    What is not UTF-8 comes as base64, under `key_base64` and so on, so that no byte is lost.
    """
    for row in rows:
        fields: dict[str, Any] = {}
        for name, value in _fields(row).items():
            if value is None:
                continue
            if isinstance(value, bytes):
                try:
                    fields[name] = value.decode()
                except UnicodeDecodeError:
                    fields[f"{name}_base64"] = base64.b64encode(value).decode()
            else:
                fields[name] = _text(value)
        yield json.dumps(fields, ensure_ascii=False) + "\n"


def to_frame(rows: Iterable[Row]) -> Any:
    """Give a pandas DataFrame; keys and values as text, with `surrogateescape`.

    Raises
    ------
    ImportError
        pandas is not installed.
    """
    try:
        pd = import_module("pandas")  # only who asks for a DataFrame needs it
    except ImportError as error:
        raise ImportError(
            "a DataFrame needs pandas, which is not installed here: "
            "pip install 'etcd-watcher[pandas]'"
        ) from error
    records = [
        {
            name: value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
            for name, value in _fields(row).items()
        }
        for row in rows
    ]
    frame = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    # Held as Python's own text: the bytes that are not UTF-8 are lone surrogates, which Arrow
    # refuses.
    for name in ("type", "key", "value", "prev_value", "lease"):
        frame[name] = pd.array(list(frame[name]), dtype=pd.StringDtype("python"))
    for name in ("revision", "created", "version"):
        frame[name] = frame[name].astype("Int64")
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    return frame


FORMATS: dict[str, tuple[str, str, Callable[[Iterable[Row]], Iterator[str]]]] = {
    "csv": ("csv", "text/csv;charset=utf-8", to_csv),
    "json": ("jsonl", "application/x-ndjson;charset=utf-8", to_json_lines),
}
"""What a page can ask for: the file's ending, its type, and who writes it."""
