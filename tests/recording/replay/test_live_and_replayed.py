"""A live run and its replay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from etcd_watcher import Event, LocalEtcd, Recording, Subscriber, Watcher
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import Header
from tests.fake_store import event
from tests.recording.replay.parts import EVERY_KIND, Make


def test_a_replay_can_be_recorded_and_that_is_the_same_again(play: Make, path: Path) -> None:
    watcher = play(EVERY_KIND)
    watcher.add_key("", prefix=True)
    with watcher.record(path.with_name("copy.jsonl")):
        pass
    copy = Recording(path.with_name("copy.jsonl"))
    assert (list(copy), copy.api) == (EVERY_KIND, "v3")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_a_replay_prints_byte_for_byte_what_the_live_run_did(
    etcd: LocalEtcd, fresh_key: str, path: Path, api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def lesson(watcher: Watcher) -> None:
        luis = Subscriber("Luis")
        watcher.register([f"{fresh_key}/a", f"{fresh_key}/b"], luis, "do_things")

        @watcher.on(fresh_key, prefix=True)
        def show(event: Event) -> None:
            sys.stderr.write(f"{event!r} {event.prev_value!r} {event.version} {event.action}\n")

    with Watcher(etcd.url, api=api) as watcher:
        lesson(watcher)
        with watcher.record(path):
            for number in range(50):
                watcher.put(f"{fresh_key}/{'ab'[number % 2]}", f"Übung {number}\n\x1b")
            watcher.delete(f"{fresh_key}/a")
        watcher.sync()
        live = list(watcher.journal)
    said = capsys.readouterr()
    for _ in range(3):
        with Watcher(Recording(path), speed="max") as watcher:
            lesson(watcher)
            watcher.sync()
            assert list(watcher.journal) == live
        assert capsys.readouterr() == said
    assert said.out.count("\n") == said.err.count("\n") == 51


def test_it_needs_neither_grpc_nor_python_etcd(path: Path) -> None:
    save(path, Header("v2"), [event(2, "/nokia", "hello")], [0.0])
    code = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"grpc", "google", "etcd", "urllib3", "IPython", "pandas"}}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
from etcd_watcher import Recording, Subscriber, Watcher
from etcd_watcher.expect import put

with Watcher(Recording({str(path)!r}), speed="max") as watcher:
    watcher.register("nokia", Subscriber("Luis"), "do_things")
    watcher.expect(put("nokia", "hello"), nothing_else=True)
    watcher.sync()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Luis: nokia = hello\n", "")
