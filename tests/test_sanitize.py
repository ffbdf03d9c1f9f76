"""What differs from run to run, and nothing else, is taken out of what nbval compares."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from etcd_watcher import EventType, Gap, LocalEtcd, Recording, Status, Watcher
from etcd_watcher.event import Record
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import Header
from etcd_watcher.sanitize import NBVAL_SANITIZE
from tests.fake_store import event

plugin = pytest.importorskip("nbval.plugin")
PATTERNS = plugin.get_sanitize_patterns(NBVAL_SANITIZE.read_text(encoding="utf-8"))

TEMPORARY = "/" + "tmp"


def sanitized(text: str) -> str:
    """Do what nbval does."""
    for regex, replacement in dict(PATTERNS).items():
        text = re.sub(regex, replacement, text)
    return text


def test_every_section_has_its_pattern() -> None:
    sections = re.findall(r"^\[.*\]$", NBVAL_SANITIZE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(dict(PATTERNS)) == len(sections) > 9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 2026-11-26T05:00:00.123Z", "at 2027-01-02 15:01:02,5+01:00"),
        ("at 9:05:00", "at 23:05:01.5"),
        ("since=1795669200.12", "since=1800000000"),
        ("it took 0.31 s", "it took 12.5 s"),
        ("http://127.0.0.1:2379/x", "http://127.0.0.1:41234/x"),
        ("<object at 0x7f00deadbeef>", "<object at 0x55aa12345678>"),
        ("Event(PUT 'a'='1', revision=5)", "Event(PUT 'a'='1', revision=1234)"),
        ("Gap(first=5, last=9, reason='x')", "Gap(first=15, last=90, reason='x')"),
        ("revisions 5 to 9 are lost", "revisions 7 to 70 are lost"),
        ("lease 694d7b0bd5a1c21b", "lease 694d7b0bd5a1c2"),
        ("member 8e9e05c52164694d", "member 91bc3c398fb3c146"),
        ("process 12", "process 4321"),
        (f"in {TEMPORARY}", f"in {TEMPORARY}/etcd-x1.y/member"),
    ],
)
def test_what_differs_is_one_thing(one: str, other: str) -> None:
    assert sanitized(one) == sanitized(other) != one


@pytest.mark.parametrize(
    "text",
    [
        "kitchen is at 21 degrees",
        "Luis: nokia = hello 1",
        "delivered: 1, failed: 1",
        "price/nokia: 4.10 -> 4.25",
        "Watcher(v3, connected, 3 keys)",
        "within 10 s",
        "2 : 1, a draw; 12,000 readers; facade, deadbeef",
        "the first 3 of them",
    ],
)
def test_what_a_lesson_is_about_stays(text: str) -> None:
    assert sanitized(text) == text


def test_what_we_print_of_ourselves_is_the_same_in_each_run(tmp_path: Path) -> None:
    def run(revision: int, second: float) -> list[str]:
        path = tmp_path / "lesson.jsonl"
        change = event(revision, "a", "1")._replace(lease=revision)
        gap = Gap(revision + 1, revision + 5, f"history before revision {revision + 5} is gone")
        records: list[Record] = [
            change,
            gap,
            Status("reconnecting", "http://127.0.0.1:1", "refused", second),
        ]
        save(path, Header("v3", ((b"a", False),)), records, [second] * 3)
        recording = Recording(path)
        with Watcher(recording, speed="max") as watcher:
            watcher.add_key("a")
            watcher.sync()
            shown: list[object] = [
                recording,
                watcher,
                watcher.journal,
                watcher.replay,
                watcher.status,
            ]
            shown += [*watcher.journal, watcher.at(revision), watcher.diff(revision, revision)]
            return [*map(repr, shown), watcher.journal.table(stable=True)]

    one, other = run(5, 1795669200.0), run(1234, 1895669200.0)
    assert [sanitized(each) for each in one] == [sanitized(each) for each in other]
    # These need no sanitizing.
    assert one[:5] == other[:5]
    assert one[-1] == other[-1]
    assert EventType.PUT.value in one[-1]


def test_a_server_shows_no_address_of_its_own(etcd: LocalEtcd) -> None:
    assert not re.search(r"0x[0-9a-f]{6}", repr(etcd))


def test_python_tells_where_the_file_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "etcd_watcher.sanitize"], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == NBVAL_SANITIZE
