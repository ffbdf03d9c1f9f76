"""`import etcd_watcher` is quick: what is heavy is imported by who uses it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ["grpc", "hpack", "google.protobuf", "etcd", "IPython", "ipywidgets", "anywidget", "pandas"]

# Fails at the attempt, so that it tells the same where the package is not installed.
REFUSE = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in {HEAVY!r}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python(REFUSE + "import etcd_watcher")
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there() -> None:
    done = python(
        "import etcd_watcher\n"
        "assert etcd_watcher.__all__ and set(etcd_watcher.__all__) <= set(dir(etcd_watcher))\n"
        "for name in etcd_watcher.__all__: getattr(etcd_watcher, name)"
    )
    assert done.returncode == 0, done.stderr


def test_the_refusal_would_be_noticed() -> None:
    done = python(REFUSE + "import google.protobuf")
    assert "google.protobuf was imported" in done.stderr
