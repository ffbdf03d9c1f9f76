"""`etcd-watcher record`: what happened is in the file, however the program ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Recording, Watcher
from tests.cli.conftest import PATIENCE, Run, Start, Terminal
from tests.eventually import eventually

Open = Callable[..., Terminal]


@pytest.fixture
def publisher(etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd, api="v3") as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lesson.jsonl"


def is_recording(file: Path, key: str, times: int = 1) -> bool:
    """Tell whether a program has begun to record a key to a file, for the n-th time."""
    return eventually(
        lambda: file.exists() and file.read_text().count(f'"key": "{key}", "prefix"') >= times,
        PATIENCE,
    )


def values(file: Path) -> list[str | None]:
    return [each.value for each in Recording(file).events()]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_recording_that_has_it_all(
    start: Start, publisher: Watcher, fresh_key: str, file: Path, name: str
) -> None:
    process = start("record", os.fsencode(file), fresh_key)
    assert is_recording(file, fresh_key)
    with publisher.events(fresh_key) as events:
        for number in range(100):
            publisher.put(fresh_key, str(number))
        publisher.put(fresh_key, "last")
        assert any(event.value == "last" for event in events)
    assert eventually(lambda: '"last"' in file.read_text(), PATIENCE)
    process.send_signal(getattr(signal, name))
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == -getattr(signal, name)
    assert out == b""
    assert f"records in {file}\n".encode() in said
    assert values(file) == [*map(str, range(100)), "last"]


def test_a_kill_leaves_a_recording_of_all_until_then(
    start: Start, publisher: Watcher, fresh_key: str, file: Path
) -> None:
    process = start("record", os.fsencode(file), fresh_key)
    assert is_recording(file, fresh_key)
    publisher.put(fresh_key, "one")
    assert eventually(lambda: '"one"' in file.read_text(), PATIENCE)
    process.kill()
    process.wait(PATIENCE)
    assert values(file) == ["one"]


def test_a_closed_terminal_ends_a_recording(
    terminal: Open, publisher: Watcher, fresh_key: str, file: Path
) -> None:
    shown = terminal("record", str(file), "--prefix", fresh_key)
    shown.read_until("Ctrl-C ends it")
    publisher.put(fresh_key, "one")
    assert eventually(lambda: '"one"' in file.read_text(), PATIENCE)
    shown.close()
    assert shown.wait() == -signal.SIGHUP
    assert values(file) == ["one"]


def test_a_recording_is_continued_or_begun_anew(
    start: Start, publisher: Watcher, fresh_key: str, file: Path
) -> None:
    def record(value: str, *options: str, part: int) -> list[str | None]:
        process = start("record", os.fsencode(file), fresh_key, *options)
        assert is_recording(file, fresh_key, part)
        publisher.put(fresh_key, value)
        assert eventually(lambda: f'"{value}"' in file.read_text(), PATIENCE)
        process.terminate()
        process.wait(PATIENCE)
        return values(file)

    assert record("one", part=1) == ["one"]
    assert record("two", part=2) == ["one", "two"]
    file.write_text("")
    assert record("three", "--overwrite", part=1) == ["three"]


def test_what_cannot_be_recorded_to_is_said(run: Run, fresh_key: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("something else\n")
    os.mkfifo(tmp_path / "pipe")
    for path, complaint in [
        (other, "other.txt"),
        (tmp_path / "no/folder.jsonl", f"{tmp_path}/no: there is no such folder"),
        (tmp_path / "pipe", "pipe is no file"),
    ]:
        status, out, said = run("record", str(path), fresh_key)
        assert (status, out) == (2 if "pipe" in complaint else 1, "")
        assert complaint in said
        assert "Traceback" not in said
    assert other.read_text() == "something else\n"
