"""`etcd-watcher replay`: a recording as it was, and no server."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from etcd_watcher import Event, Gap, Status
from etcd_watcher.event import Record
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import Header, record_line
from tests.cli.conftest import PATIENCE, Run, Start
from tests.fake_store import event

RECORDS: list[tuple[float, Record]] = [
    (100.0, event(2, "a", "one")),
    (100.0, event(2, "b", b"\xff")),
    (100.5, Status("reconnecting", "http://one:1", "lost", 100.5)),
    (100.6, Status("connected", "http://one:1", "", 100.6)),
    (100.6, Gap(3, 9, "compacted")),
    (100.6, event(10, "a", None)._replace(synthetic=True)),
    (100.7, event(11, "c", "last")),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recording of 0.7 s, which ends with its watcher."""
    path = tmp_path / "lesson.jsonl"
    closed = (9999.0, Status("closed", "http://one:1", "", 9999.0))
    times, records = zip(*RECORDS, closed, strict=True)
    save(path, Header("v3", ((b"", True),)), records, times)
    return path


def test_a_program_gets_the_records_as_they_are(run: Run, file: Path) -> None:
    status, out, said = run("replay", str(file), env={"ETCDCTL_ENDPOINTS": "http://127.0.0.1:1"})
    assert (status, said) == (0, "")
    assert out.splitlines(keepends=True) == [record_line(each, at) for at, each in RECORDS]


def test_a_person_gets_the_news(run: Run, file: Path) -> None:
    assert run("replay", str(file), "--text", "--speed=max")[1].splitlines() == [
        "       2  PUT     a = one",
        "       2  PUT     b = \\udcff",
        "          RECONNECTING  lost",
        "     3-9  GAP     compacted",
        "      10  DELETE  a  (after the gap)",
        "      11  PUT     c = last",
    ]


def test_a_key_that_is_not_in_it_is_told(run: Run, file: Path) -> None:
    status, out, said = run("replay", str(file), "--text", "--speed=max", "a", "nokey")
    assert status == 0
    assert "PUT     a = one" in out
    assert said == "etcd-watcher: lesson.jsonl has no change of the key 'nokey'\n"
    said = run("replay", str(file), "--speed=max", "--prefix", "no/")[2]
    assert said == "etcd-watcher: lesson.jsonl has no change of a key that begins with 'no/'\n"


@pytest.mark.parametrize(
    ("keys", "told"), [(["a"], "aa"), (["a", "c"], "aac"), (["--prefix", ""], "abac")]
)
def test_some_keys_can_be_chosen(run: Run, file: Path, keys: list[str], told: str) -> None:
    out = run("replay", str(file), "--text", "--speed=max", *keys)[1]
    changes = [line.split() for line in out.splitlines() if "PUT" in line or "DELETE" in line]
    assert "".join(words[2] for words in changes) == told


def test_it_takes_as_long_as_it_took_unless_it_is_hurried(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "slow.jsonl"
    records: list[Event] = [event(2), event(3)]
    save(path, Header("v3"), records, [0.0, 3.0])
    took = {}
    for speed in ("1", "max"):
        began = time.monotonic()
        run("replay", str(path), f"--speed={speed}")
        took[speed] = time.monotonic() - began
    assert took["1"] > 3
    assert took["max"] < took["1"]


def test_ctrl_c_ends_it_at_once(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "hour.jsonl"
    save(path, Header("v3"), [event(2), event(3)], [0.0, 3600.0])
    process = start("replay", str(path))
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_a_recording_that_was_cut_off_is_told_up_to_there(run: Run, file: Path) -> None:
    with file.open("a") as more:
        more.write('{"time": 1, "revi')
    status, out, said = run("replay", str(file), "--speed=max")
    assert status == 0
    assert len(out.splitlines()) == len(RECORDS)
    assert "lesson.jsonl ends in the middle of a line" in said


def test_what_cannot_be_played_is_said(run: Run, file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text() + "something else\n")
    for arguments, status, complaint in [
        ([str(tmp_path / "none.jsonl")], 1, "No such file"),
        ([str(file)], 1, "line 10"),
        ([str(file), "--speed=0"], 2, "'0' is no speed: a number above 0"),
        ([str(file), "--speed=fast"], 2, "'fast' is no speed"),
        ([], 2, "FILE"),
    ]:
        came = run("replay", *arguments)
        assert came[:2] == (status, "")
        assert complaint in came[2]
        assert "Traceback" not in came[2]
