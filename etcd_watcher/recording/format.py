"""The lines of a recording: each record of a journal as one JSON object, and back.

`docs/recording-format.md` and `recording.schema.json` describe them. What is read may come from
anybody: every field is checked, and nothing but JSON is understood.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from typing import Any, NoReturn

from etcd_watcher.event import Event, EventType, Gap, Record, Status
from etcd_watcher.table import one_line

__all__ = [
    "FORMAT",
    "NEWEST_VERSION",
    "Header",
    "Keys",
    "Line",
    "RecordedKey",
    "header_line",
    "keys_line",
    "record_line",
    "record_lines",
    "understand",
]

FORMAT = "etcd_watcher recording"
"""How a recording's first line says what the file is."""

NEWEST_VERSION = 1

APIS = ("v2", "v3")
STATES = ("connected", "reconnecting", "closed")
LARGEST = 2**63 - 1
"""Revisions and leases are etcd's int64."""

UNSIGNED = 2**64 - 1
"""etcdctl shows a lease as the hexadecimal digits of its 64 bits, and so do we: as a JSON number it
would be rounded by every reader that keeps numbers as doubles."""

RecordedKey = tuple[bytes, bool]
"""A raw key, and whether it stands for everything that starts so."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line, and the first of each further part of a recording that was continued.

    Attributes
    ----------
    api : str
        "v2" or "v3": which of etcd's APIs the changes came from.
    keys : tuple of (bytes, bool)
        The keys that were watched, and whether each is a prefix.
    """

    api: str
    keys: tuple[RecordedKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Keys:
    """Further keys that were watched from here on."""

    keys: tuple[RecordedKey, ...]


# Writing. Every event of a live recording passes here on the feed's thread: `json.dumps` of a dict
# takes 6 us for one, putting the line together takes 1.3 (CPython 3.11).


def _text(raw: bytes) -> str:
    """Give bytes as a JSON value: text where they are UTF-8, and base64 where they are not."""
    try:
        return quoted(raw.decode())
    except UnicodeDecodeError:
        return f'{{"base64": "{b64encode(raw).decode()}"}}'


def header_line(header: Header) -> str:
    """Give the first line of a recording."""
    return (
        f'{{"format": {quoted(FORMAT)}, "version": {NEWEST_VERSION}, '
        f'"api": {quoted(header.api)}, "keys": {_key_list(header.keys)}}}\n'
    )


def keys_line(keys: Iterable[RecordedKey], at: float) -> str:
    """Give the line that tells which further keys are watched from now on."""
    return f'{{"time": {at:.6f}, "type": "KEYS", "keys": {_key_list(keys)}}}\n'


def _key_list(keys: Iterable[RecordedKey]) -> str:
    listed = (f'{{"key": {_text(key)}, "prefix": {_json(prefix)}}}' for key, prefix in keys)
    return f"[{', '.join(listed)}]"


def _json(flag: bool) -> str:  # noqa: FBT001 - it is the value
    return "true" if flag else "false"


def record_line(record: Record, at: float) -> str:
    """Give a record, which came `at` seconds after the epoch, as a line."""
    return _line(record, f"{at:.6f}")


def record_lines(records: Iterable[Record], at: float) -> list[str]:
    """Give records that came together as lines. To write the time takes a fifth of each."""
    moment = f"{at:.6f}"
    return [_line(each, moment) for each in records]


def _line(record: Record, at: str) -> str:
    if type(record) is Event:
        return _event_line(record, at)
    if type(record) is Gap:
        whose = f', "subscriber": {quoted(record.subscriber)}' if record.subscriber else ""
        return (
            f'{{"time": {at}, "type": "GAP", "first": {record.first}, "last": {record.last}, '
            f'"reason": {quoted(record.reason)}{whose}}}\n'
        )
    assert type(record) is Status  # noqa: S101 - there is no fourth
    again = "" if record.next_try is None else f', "next_try": {record.next_try:.6f}'
    return (
        f'{{"time": {at}, "type": "STATUS", "state": {quoted(record.state)}, '
        f'"endpoint": {quoted(record.endpoint)}, "reason": {quoted(record.reason)}, '
        f'"since": {record.since:.6f}{again}}}\n'
    )


def _event_line(event: Event, at: str) -> str:
    (_, key, value, before, revision, created, version, lease, action, expired, synthetic) = event
    kind, more = "DELETE", ""
    if value is not None:
        kind, more = "PUT", f', "value": {_text(value)}'
    if before is not None:
        more += f', "prev_value": {_text(before)}'
    if created:
        more += f', "created": {created}'
    if version:
        more += f', "version": {version}'
    if lease:
        more += f', "lease": "{lease & UNSIGNED:x}"'
    if expired:
        more += ', "expired": true'
    if synthetic:
        more += ', "synthetic": true'
    return (
        f'{{"time": {at}, "revision": {revision}, "type": "{kind}", '
        f'"key": {_text(key)}{more}, "action": {quoted(action)}}}\n'
    )


# Reading.

Line = Header | Keys | Record


def understand(line: bytes) -> tuple[Line, float]:
    """Give what a line tells, and when that came: 0 for a header.

    Raises
    ------
    ValueError
        It is no line of a recording; the message says what is wrong with it.
    """
    fields = _object(line)
    if "format" in fields:
        return _header(fields), 0.0
    kind = fields.get("type")
    at = _time(fields, "time")
    if kind in ("PUT", "DELETE"):
        return _event(fields, EventType(kind)), at
    if kind == "GAP":
        first, last = _whole(fields, "first", 0), _whole(fields, "last", 0)
        if last < first:
            raise ValueError(f"a gap ends before it begins: first {first}, last {last}")
        whose = _string(fields, "subscriber") if "subscriber" in fields else ""
        return Gap(first, last, _string(fields, "reason"), whose), at
    if kind == "STATUS":
        return _status(fields), at
    if kind == "KEYS":
        return Keys(_keys(fields)), at
    raise ValueError(f"'type' is {_shown(kind)}: it is one of PUT, DELETE, GAP, STATUS, KEYS")


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason} at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error.msg} at character {error.colno})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except _NoNumber:
        raise
    except ValueError:
        raise ValueError("it has a number of thousands of digits") from None
    if not isinstance(fields, dict):
        raise ValueError(f"it is {_shown(fields)}, not a JSON object")  # noqa: TRY004 - a bad line
    return fields


class _NoNumber(ValueError):
    """What Python takes for JSON, and JSON does not."""


def _no_number(name: str) -> NoReturn:
    raise _NoNumber(f"it is no JSON ({name} is no number)")


def _header(fields: dict[str, Any]) -> Header:
    if fields["format"] != FORMAT:
        raise ValueError(f"'format' is {_shown(fields['format'])}, not {FORMAT!r}")
    version = _whole(fields, "version", 1)
    if version > NEWEST_VERSION:
        raise ValueError(
            f"its format is version {version}, and this etcd_watcher reads up to version "
            f"{NEWEST_VERSION}: use a newer one"
        )
    api = _string(fields, "api")
    if api not in APIS:
        raise ValueError(f"'api' is {_shown(api)}: it is one of {', '.join(APIS)}")
    return Header(api, _keys(fields))


def _keys(fields: dict[str, Any]) -> tuple[RecordedKey, ...]:
    listed = fields.get("keys")
    if not isinstance(listed, list):
        raise ValueError(f"'keys' is {_shown(listed)}: it is a list")  # noqa: TRY004 - a bad line
    keys = []
    for each in listed:
        if not isinstance(each, dict):
            raise ValueError(f"'keys' holds {_shown(each)}: it holds objects")  # noqa: TRY004
        keys.append((_bytes(each, "key"), _flag(each, "prefix")))
    return tuple(keys)


def _event(fields: dict[str, Any], kind: EventType) -> Event:
    value = _bytes(fields, "value") if "value" in fields else None
    if (value is None) is (kind is EventType.PUT):
        raise ValueError("a PUT has no value" if value is None else "a DELETE has a value")
    expired = _flag(fields, "expired")
    if expired and kind is EventType.PUT:
        raise ValueError("a PUT is said to be expired")
    return Event(
        type=kind,
        raw_key=_bytes(fields, "key"),
        raw_value=value,
        raw_prev_value=_bytes(fields, "prev_value") if "prev_value" in fields else None,
        revision=_whole(fields, "revision", 1),
        created=_whole(fields, "created", 0, 0),
        version=_whole(fields, "version", 0, 0),
        lease=_lease(fields),
        action=_string(fields, "action"),
        expired=expired,
        synthetic=_flag(fields, "synthetic"),
    )


def _status(fields: dict[str, Any]) -> Status:
    state = _string(fields, "state")
    if state not in STATES:
        raise ValueError(f"'state' is {_shown(state)}: it is one of {', '.join(STATES)}")
    return Status(
        state,
        _string(fields, "endpoint"),
        _string(fields, "reason"),
        _time(fields, "since"),
        _time(fields, "next_try") if "next_try" in fields else None,
    )


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    found = fields.get(name)
    if isinstance(found, str):
        try:
            return found.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f'{name!r} is {_shown(found)}, which is no text: write bytes as {{"base64": …}}'
            ) from None
    if isinstance(found, dict) and isinstance(found.get("base64"), str):
        try:
            return b64decode(found["base64"], validate=True)
        except ValueError:  # of characters that are not ASCII, too
            raise ValueError(f"{name!r} is no base64: {_shown(found['base64'])}") from None
    raise ValueError(f'{name!r} is {_shown(found)}: it is text, or {{"base64": …}}')


def _lease(fields: dict[str, Any]) -> int:
    found = fields.get("lease", "0")
    if isinstance(found, str) and found.isalnum() and found.isascii() and len(found) <= 16:  # noqa: PLR2004 - int64 as hexadecimal digits
        with suppress(ValueError):
            lease = int(found, 16)
            return lease if lease <= LARGEST else lease - UNSIGNED - 1
    raise ValueError(f"'lease' is {_shown(found)}: it is a lease's number in hexadecimal digits")


def _whole(fields: dict[str, Any], name: str, least: int, default: int | None = None) -> int:
    found = fields.get(name, default)
    if type(found) is int and least <= found <= LARGEST:
        return found
    raise ValueError(f"{name!r} is {_shown(found)}: it is a whole number from {least} to {LARGEST}")


def _time(fields: dict[str, Any], name: str) -> float:
    found = fields.get(name)
    if isinstance(found, int | float) and not isinstance(found, bool):
        try:
            seconds = float(found)
        except OverflowError:
            seconds = -1.0
        if isfinite(seconds) and seconds >= 0:
            return seconds
    raise ValueError(f"{name!r} is {_shown(found)}: it is a number of seconds since 1970")


def _string(fields: dict[str, Any], name: str) -> str:
    found = fields.get(name)
    if isinstance(found, str):
        return found
    raise ValueError(f"{name!r} is {_shown(found)}: it is text")


def _flag(fields: dict[str, Any], name: str) -> bool:
    found = fields.get(name, False)
    if isinstance(found, bool):
        return found
    raise ValueError(f"{name!r} is {_shown(found)}: it is true or false")


def _shown(found: object) -> str:
    """Show a stranger's value: on one line and not all of it."""
    if found is None:
        return "missing"
    if isinstance(found, dict | list):
        return "an object" if isinstance(found, dict) else "a list"
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) > 10**40:
        return "a number of more than 40 digits"  # to write it out may take minutes, or be refused
    return one_line(repr(found), 50)
