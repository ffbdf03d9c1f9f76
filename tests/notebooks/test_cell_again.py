"""A cell that is run again gives back what it held, for each kind of thing that a cell makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_watcher import LocalCluster, LocalEtcd, Recording, Watcher
from tests.fake_store import FakeStore
from tests.test_interactive import Notebook
from tests.test_interactive import notebook as notebook  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("make", [LocalEtcd, lambda: LocalCluster(1)], ids=["etcd", "cluster"])
def test_the_server_of_the_earlier_run_is_stopped(
    notebook: Notebook, make: Callable[[], LocalEtcd | LocalCluster]
) -> None:
    notebook.namespace["make"] = make
    first = notebook.run("made = make()")
    second = notebook.run("made = make()")
    assert "running" not in repr(first)
    second.put("nokia", "hello")
    second.stop()


def test_a_server_with_a_directory_of_its_own_finds_it_free(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.namespace["make"] = lambda: LocalEtcd(data_dir=tmp_path / "data")
    first = notebook.run("made = make()")
    first.put("nokia", "hello")
    second = notebook.run("made = make()")
    assert second.get("nokia") == "hello"
    second.stop()


def test_a_closed_watcher_that_is_kept_does_not_keep_its_server() -> None:
    watcher = Watcher(LocalEtcd(v2=False))
    watcher.close()
    # The fixture finds no process.


def test_a_recording_that_could_not_begin_can_be_begun_again(
    notebook: Notebook, tmp_path: Path
) -> None:
    path = tmp_path / "no" / "lesson.jsonl"
    store = FakeStore()
    with Watcher(store) as watcher:
        watcher.add_key("a")
        notebook.namespace |= {"watcher": watcher, "path": path}
        with pytest.raises(FileNotFoundError, match="there is no such folder") as failed:
            notebook.run("made = watcher.record(path)")
        assert failed.value.filename == str(path.parent)
        path.parent.mkdir()
        for value in ("1", "2"):
            recorder = notebook.run("made = watcher.record(path)")
            store.commit(("a", value))
            watcher.sync()
        recorder.close()
    assert [each.value for each in Recording(path).events()] == ["1", "2"]
