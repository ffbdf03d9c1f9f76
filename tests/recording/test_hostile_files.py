"""A file from anybody: it is read, or refused with the line that is wrong, and nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_watcher import BadRecording, Recording
from etcd_watcher.recording import load as load_module
from etcd_watcher.recording.format import Header, header_line, record_line
from tests.fake_store import event

HEADER = header_line(Header("v3")).encode()
PUT = {"time": 1, "revision": 5, "type": "PUT", "key": "k", "value": "v", "action": "put"}


def line(**changes: object) -> bytes:
    return json.dumps(PUT | changes).encode() + b"\n"


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in PUT.items() if key != name}).encode() + b"\n"


GAP = {"time": 1, "type": "GAP", "first": 5, "last": 4, "reason": "r"}
STATUS = {"time": 1, "type": "STATUS", "state": "well", "endpoint": "", "reason": "", "since": 1}

BAD_LINES = {
    "nothing": (b"\n", "it is no JSON"),
    "noise": (b"\x00\xff\n", "it is not UTF-8"),
    "half a line": (line()[:20] + b"\n", "it is no JSON"),
    "deep nesting": (b"[" * 100_000 + b"\n", "it is nested too deeply"),
    "deep nesting in a field": (
        line()[:-2] + b', "more": ' + b'{"a":' * 100_000 + b"\n",
        "it is nested too deeply",
    ),
    "a list": (b"[1, 2]\n", "it is a list, not a JSON object"),
    "a number": (b"7\n", "it is 7, not a JSON object"),
    "no number": (line(time="NaN").replace(b'"NaN"', b"NaN"), "NaN is no number"),
    "an endless time": (line(time="x").replace(b'"x"', b"1e999"), "'time' is inf"),
    "a time of 10,000 digits": (
        line(time="x").replace(b'"x"', b"9" * 10_000),
        "a number of thousands of digits",
    ),
    "a time of 400 digits": (line(time=10**400), "'time' is a number of more than 40 digits"),
    "a time before 1970": (line(time=-1), "'time' is -1"),
    "no time": (without("time"), "'time' is missing"),
    "a time that is true": (line(time=True), "'time' is True"),
    "no type": (without("type"), "'type' is missing"),
    "another type": (line(type="EVAL"), "'type' is 'EVAL'"),
    "a type that is a list": (line(type=["PUT"]), "'type' is a list"),
    "no key": (without("key"), "'key' is missing"),
    "a key that is a number": (line(key=1), "'key' is 1"),
    "no text": (line(key="\ud800"), "'key' is '.*', which is no text"),
    "bad base64": (line(value={"base64": "a"}), "'value' is no base64"),
    "base64 that is not ASCII": (line(value={"base64": "ü"}), "'value' is no base64"),
    "an object for bytes": (line(value={"text": "a"}), "'value' is an object"),
    "a put without a value": (without("value"), "a PUT has no value"),
    "a deletion with a value": (line(type="DELETE"), "a DELETE has a value"),
    "a put that expired": (line(expired=True), "a PUT is said to be expired"),
    "revision 0": (line(revision=0), "'revision' is 0: it is a whole number from 1"),
    "a revision that is text": (line(revision="5"), "'revision' is '5'"),
    "a revision that is true": (line(revision=True), "'revision' is True"),
    "half a revision": (line(revision=5.5), "'revision' is 5.5"),
    "a revision beyond int64": (line(revision=2**63), "'revision' is 9223372036854775808"),
    "a created that is a list": (line(created=[]), "'created' is a list"),
    "a lease that is a number": (line(lease=5), "'lease' is 5"),
    "a lease that is no number": (line(lease="xyz"), "'lease' is 'xyz'"),
    "a lease that is too long": (line(lease="1" * 17), "'lease' is"),
    "a synthetic that is text": (line(synthetic="no"), "'synthetic' is 'no'"),
    "an action that is missing": (without("action"), "'action' is missing"),
    "a gap that ends first": (json.dumps(GAP).encode() + b"\n", "ends before it begins"),
    "a state that is unknown": (json.dumps(STATUS).encode() + b"\n", "'state' is 'well'"),
    "a state that no watcher has": (
        json.dumps(STATUS | {"state": "connecting"}).encode() + b"\n",
        "it is one of connected, reconnecting, closed",
    ),
    "a falling revision": (line(revision=4), "its revision 4 comes after 5"),
    "a revision twice": (line(), "its revision 5 has changed this key already"),
    "keys that are text": (b'{"time": 1, "type": "KEYS", "keys": "k"}\n', "'keys' is 'k'"),
    "keys of numbers": (b'{"time": 1, "type": "KEYS", "keys": [1]}\n', "'keys' holds 1"),
    "another API": (header_line(Header("v2")).encode(), "with the API v2, after v3"),
    "an API that is unknown": (HEADER.replace(b"v3", b"v9"), "'api' is 'v9'"),
    "a newer version": (
        HEADER.replace(b'"version": 1', b'"version": 2'),
        "its format is version 2, and this etcd_watcher reads up to version 1: use a newer one",
    ),
    "another format": (HEADER.replace(b"etcd_watcher", b"other"), "'format' is 'other recording'"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_said_to_be_so(path: Path, name: str) -> None:
    bad, wrong = BAD_LINES[name]
    path.write_bytes(HEADER + line() + bad + line(revision=99))
    with pytest.raises(BadRecording, match=wrong) as caught:
        Recording(path)
    assert str(caught.value).startswith("lesson.jsonl, line 3: ")
    assert caught.value.line == 3
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    assert str(path.parent) not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", line(), b"PK\x03\x04", b"{}", HEADER[:-20]])
def test_what_has_no_header_is_no_recording(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=r"^lesson\.jsonl, line 1: "):
        Recording(path)


def test_a_newer_version_is_refused_at_its_header(path: Path) -> None:
    path.write_bytes(HEADER.replace(b'"version": 1', b'"version": 12') + b"whatever\n")
    with pytest.raises(BadRecording, match=r"version 12.*use a newer one"):
        Recording(path)


def test_a_line_that_is_too_long_is_not_read_to_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "LONGEST_LINE", 1000)
    path.write_bytes(HEADER + line(value="x" * 2000))
    with pytest.raises(BadRecording, match="line 2: it is longer than 1,000 bytes"):
        Recording(path)


def test_a_file_that_is_too_large_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(load_module.LARGEST_FILE + 1)
    with pytest.raises(BadRecording, match="larger than"):
        Recording(path)


def test_a_file_that_is_not_there_is_the_systems_own_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recording(path)


def test_the_last_line_may_be_cut_off_anywhere(path: Path) -> None:
    whole = HEADER + line() + line(revision=6, value="ü\n" * 5)
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole) + 1):
        path.write_bytes(whole[:cut])
        recording = Recording(path)
        assert len(recording) == (2 if cut >= len(whole) - 1 else 1)
        assert recording.cut_off == (last < cut < len(whole) - 1)


def test_behind_a_gap_revisions_may_begin_anew(path: Path) -> None:
    gap = json.dumps(GAP | {"last": 6}).encode() + b"\n"
    path.write_bytes(HEADER + line() + gap + line(revision=2))
    assert [each.revision for each in Recording(path).events()] == [5, 2]


def test_a_continued_recording_is_one(path: Path) -> None:
    again = header_line(Header("v3", ((b"k", False),))).encode()
    path.write_bytes(HEADER + line() + again + line(revision=6))
    recording = Recording(path)
    assert (recording.keys, list(recording.parts), len(recording)) == (["k"], [1], 2)


def test_fields_that_nobody_knows_are_passed_over(path: Path) -> None:
    path.write_bytes(HEADER + line(mood="fine", __class__="os.system"))
    assert list(Recording(path)) == [event(5)._replace(created=0, version=0)]


def spoil(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes([byte]) + data[at + 1 :]


@pytest.mark.parametrize(
    "spoiled", [lambda data, at: spoil(data, at, 0), lambda data, at: data[:at] + data[at + 1 :]]
)
def test_a_spoiled_byte_gives_a_recording_or_a_clear_error(
    path: Path, spoiled: Callable[[bytes, int], bytes]
) -> None:
    whole = HEADER + record_line(event(5, b"\xff", "v"), 1.5).encode() + line(revision=6)
    for at in range(len(whole)):
        path.write_bytes(spoiled(whole, at))
        try:
            Recording(path)
        except BadRecording as error:
            assert error.line <= 3  # noqa: PT017 - either will do
