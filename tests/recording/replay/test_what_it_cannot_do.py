"""What a replay cannot do, and what ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Recording, Watcher
from etcd_watcher.errors import RequestRejected
from tests.fake_store import PATIENCE
from tests.recording.replay.parts import Make, puts


@pytest.mark.parametrize(
    "write",
    [
        lambda watcher: watcher.put("a", "b"),
        lambda watcher: watcher.put("a", "b", ttl=5),
        lambda watcher: watcher.delete("a"),
        lambda watcher: watcher.delete("a", prefix=True),
    ],
)
def test_a_recording_cannot_be_written_to(play: Make, write: Callable[[Watcher], object]) -> None:
    watcher = play(puts(1))
    with pytest.raises(
        RequestRejected, match=r"lesson.jsonl is a recording, and cannot be written"
    ):
        write(watcher)


def test_what_cannot_be_meant_is_refused_at_once(play: Make) -> None:
    watcher = play(puts(1))
    replay = watcher.replay
    for wrong in (0, -1, True, 1.5, "x"):
        with pytest.raises(ValueError, match=r"step\("):
            replay.step(wrong)  # type: ignore[arg-type]
    for speed in (0, -1, True, "fast", None, float("nan")):
        with pytest.raises(ValueError, match="speed="):
            replay.speed = speed  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"seek\('x'\)"):
        replay.seek("x")  # type: ignore[arg-type]
    for where in ({}, {"revision": 1, "seconds": 1}):
        with pytest.raises(TypeError, match="seek where"):
            replay.seek(**where)
    with pytest.raises(ValueError, match="speed=0"):
        Watcher(replay.recording, speed=0)


def test_speed_and_replay_are_for_recordings(etcd: LocalEtcd) -> None:
    with pytest.raises(TypeError, match=r"speed=10 is for a recording: Watcher\(Recording"):
        Watcher(etcd.url, speed=10)
    with Watcher(etcd.url) as watcher:
        with pytest.raises(AttributeError, match="this watcher watches a server"):
            _ = watcher.replay
        assert not hasattr(watcher, "replay")


def test_closing_it_ends_whoever_waits(play: Make) -> None:
    watcher = play(puts(2), speed=0.0001)
    watcher.add_key("a")
    threading.Timer(0.05, watcher.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        watcher.sync(timeout=PATIENCE)


def test_one_recording_can_be_played_by_several(play: Make, path: Path) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    with Watcher(Recording(path), speed="max") as other, Watcher(watcher.replay.recording) as third:
        other.add_key("a")
        other.sync()
        third.add_key("a")
        assert (other.revision, third.revision, watcher.revision) == (4, 1, 1)
