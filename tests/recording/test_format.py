"""What is written is read again as it was, and is what the schema says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etcd_watcher
from etcd_watcher import BadRecording, Event, EventType, Gap, Journal, Recording, Status
from etcd_watcher.event import Record
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import (
    STATES,
    Header,
    Keys,
    header_line,
    keys_line,
    record_line,
    understand,
)
from tests.fake_store import event

ROOT = Path(etcd_watcher.__file__).parent
SCHEMA = json.loads((ROOT / "recording/recording.schema.json").read_text(encoding="utf-8"))
LINE = jsonschema.Draft202012Validator(SCHEMA)

raw = st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode())
count = st.integers(0, 2**63 - 1)
seconds = st.integers(0, 2**38).map(lambda number: number / 2**6)
"""Numbers that six decimals hold exactly."""


@st.composite
def events(draw: st.DrawFn) -> Event:
    deleted = draw(st.booleans())
    return Event(
        type=EventType.DELETE if deleted else EventType.PUT,
        raw_key=draw(raw),
        raw_value=None if deleted else draw(raw),
        raw_prev_value=draw(st.none() | raw),
        revision=draw(st.integers(1, 2**63 - 1)),
        created=draw(count),
        version=draw(count),
        lease=draw(st.integers(-(2**63), 2**63 - 1)),
        action=draw(st.text()),
        expired=deleted and draw(st.booleans()),
        synthetic=draw(st.booleans()),
    )


gaps = st.builds(
    lambda one, other, *texts: Gap(min(one, other), max(one, other), *texts),
    count,
    count,
    st.text(),
    st.text(),
)
states = st.sampled_from(STATES)
statuses = st.builds(Status, states, st.text(), st.text(), seconds, st.none() | seconds)
records: st.SearchStrategy[Record] = events() | gaps | statuses
watched = st.lists(st.tuples(raw, st.booleans())).map(tuple)


@given(records, seconds)
def test_each_record_comes_back_as_it_was(record: Record, at: float) -> None:
    line = record_line(record, at)
    LINE.validate(json.loads(line))
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert understand(line.encode()) == (record, at)


@given(statuses, seconds)
def test_a_status_comes_back_with_its_times(status: Status, at: float) -> None:
    again, _ = understand(record_line(status, at).encode())
    assert isinstance(again, Status)
    assert (again.since, again.next_try) == (status.since, status.next_try)


@given(watched, seconds)
def test_keys_come_back_as_they_were(keys: tuple[tuple[bytes, bool], ...], at: float) -> None:
    for line in (header_line(Header("v2", keys)), keys_line(keys, at)):
        LINE.validate(json.loads(line))
    assert understand(header_line(Header("v2", keys)).encode()) == (Header("v2", keys), 0)
    assert understand(keys_line(keys, at).encode()) == (Keys(keys), at)


def test_text_can_be_read_and_bytes_are_base64() -> None:
    line = record_line(event(5, "news/nokia", b"\xffhello"), 1.5)
    fields = json.loads(line)
    assert (fields["key"], fields["value"]) == ("news/nokia", {"base64": "/2hlbGxv"})
    assert (fields["time"], fields["revision"], fields["type"]) == (1.5, 5, "PUT")


def test_a_lease_is_written_as_etcdctl_shows_it() -> None:
    line = record_line(event(5)._replace(lease=0x694D7B0BD5A1C21B), 0)
    assert json.loads(line)["lease"] == "694d7b0bd5a1c21b"


@given(st.binary(max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is|is missing|'type'|'time'"):
        understand(noise)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(records, st.data())
def test_what_the_reader_takes_the_schema_takes_too(record: Record, data: st.DataObject) -> None:
    """Spoil a line: where the schema objects, so does the reader."""
    fields = json.loads(record_line(record, 1.0))
    name = data.draw(st.sampled_from(sorted(fields)))
    if data.draw(st.booleans()):
        fields[name] = data.draw(values)
    else:
        del fields[name]
    line = json.dumps(fields).encode()
    try:
        understand(line)
    except ValueError:
        return
    LINE.validate(json.loads(line))


# Whole files.


EVERY_KIND: list[Record] = [
    event(2, "nokia", "hello"),
    event(3, b"\xff\x00", b"\xfe"),
    event(3, "other", None, prev=b"x"),
    Status("reconnecting", "http://one:2379", "refused", 5.0, 6.0),
    Status("connected", "http://one:2379"),
    Gap(4, 9, "compacted"),
    event(10, "nokia", "again")._replace(synthetic=True, lease=77),
    event(11, "nokia", None)._replace(expired=True),
]


def test_a_saved_journal_is_loaded_as_it_was(path: Path) -> None:
    journal = Journal()
    journal.append(EVERY_KIND[:3])
    journal.append(EVERY_KIND[3:])
    journal.save(path)
    for again in (Journal.load(path), Recording(path).journal):
        assert list(again) == EVERY_KIND
        times = journal.read_timed(0)[1]
        assert again.read_timed(0)[1] == pytest.approx(times, abs=1e-6)
    for line in path.read_text().splitlines():
        LINE.validate(json.loads(line))


def test_a_recording_tells_what_is_in_it(path: Path) -> None:
    save(path, Header("v3", ((b"nokia", False), (b"n", True))), EVERY_KIND, [1.0] * 8)
    recording = Recording(path)
    assert repr(recording) == "Recording('lesson.jsonl', v3, 5 events of 2 watched keys)"
    assert (recording.api, recording.keys) == ("v3", ["nokia", "n"])
    assert (len(recording), list(recording)) == (8, EVERY_KIND)
    assert [each.revision for each in recording.events("nokia")] == [2, 10, 11]
    assert [each.revision for each in recording.events("o", prefix=True)] == [3]
    assert not recording.cut_off
    assert "hello" in recording._repr_html_()


def test_a_recording_of_v2_has_its_keys_as_paths(path: Path) -> None:
    save(path, Header("v2", ((b"/nokia", False),)), [event(2, "/nokia")], [1.0])
    assert len(Recording(path).events("nokia")) == 1


def test_saving_replaces_the_file_as_a_whole(path: Path) -> None:
    path.write_text("before")
    with pytest.raises(AssertionError):
        save(path, Header("v3"), [None], [1.0])  # type: ignore[list-item]
    assert path.read_text() == "before"
    save(path, Header("v3"), [], [])
    assert len(Recording(path)) == 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_error_of_ours_survives_a_trip_to_another_process() -> None:
    import pickle  # noqa: PLC0415 - for this test alone

    error = BadRecording("lesson.jsonl", 3, "it is no JSON")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.line) == ("lesson.jsonl, line 3: it is no JSON", 3)
