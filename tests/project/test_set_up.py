"""tools/venv.sh: what every make target does first."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The Python behind this environment: what a person has on PATH.
BASE: str = sys._base_executable  # type: ignore[attr-defined]  # venv itself builds on it
PYTHON = f"""#!/bin/sh
exec {BASE} "$@"
"""
# One as Debian gives it without python3-venv: `-m venv` says why it cannot and fails.
NO_ENSUREPIP = f"""#!/bin/sh
case "$*" in
*--without-pip*) ;;
*"-m venv"*)
    echo "The virtual environment was not created successfully because ensurepip is not available."
    exit 1 ;;
esac
exec {BASE} "$@"
"""
NEITHER_ENSUREPIP_NOR_PIP = NO_ENSUREPIP.replace("*--without-pip*) ;;", '*"-m pip"*) exit 1 ;;')
TOO_OLD = """#!/bin/sh
case "$1" in
--version) echo "Python 3.9.2" ;;
esac
"""


class Project:
    """A folder with what the set-up looks at, and a requirement that costs nothing to install."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        (folder / "pyproject.toml").write_text("")
        (folder / "constraints.txt").write_text("")
        (folder / "nothing.txt").write_text("")
        for name in ["sh", "cat", "cksum", "date", "dirname", "grep", "rm"]:
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(ROOT / "tools/venv.sh"), "venv", "--no-index", "-r", "nothing.txt"],
            cwd=self.folder,
            env={"PATH": str(self.bin), "HOME": str(self.folder)} | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @property
    def ready(self) -> bool:
        return (self.folder / "venv/.ready").exists()

    def runs(self) -> bool:
        return (
            subprocess.run([self.folder / "venv/bin/python", "-c", ""], check=False).returncode == 0
        )


def empty_package(folder: Path) -> str:
    """Make a package that holds nothing, and give its file's name."""
    name = "empty-1.0-py3-none-any.whl"
    files = {
        "METADATA": "Metadata-Version: 2.1\nName: empty\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / name, "w") as archive:
        for each, text in files.items():
            archive.writestr(f"empty-1.0.dist-info/{each}", text)
    return name


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def has_pip() -> bool:
    return subprocess.run([BASE, "-m", "pip", "--version"], check=False).returncode == 0


needs_pip = pytest.mark.skipif(not has_pip(), reason="the Python on this machine has no pip")


def test_an_ordinary_python_makes_an_ordinary_environment(project: Project) -> None:
    project.program("python3", PYTHON)
    done = project.set_up()
    assert project.ready, done.stderr
    assert "ensurepip" not in done.stderr


@needs_pip
def test_a_second_set_up_takes_no_time_and_says_nothing(project: Project) -> None:
    project.program("python3", NO_ENSUREPIP)
    first = project.set_up()
    assert project.ready, first.stderr
    mark = project.folder / "venv/.ready"
    made = mark.stat().st_mtime_ns
    second = project.set_up()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert mark.stat().st_mtime_ns == made  # nothing was made again


@needs_pip
@pytest.mark.parametrize(
    "changed", [pytest.param("pyproject.toml", marks=pytest.mark.slow), "constraints.txt"]
)
def test_a_change_of_what_is_to_be_installed_is_installed(project: Project, changed: str) -> None:
    project.program("python3", NO_ENSUREPIP)
    assert project.set_up().returncode == 0
    (project.folder / changed).write_text("# more\n")
    assert "up to date" in project.set_up().stderr
    assert project.set_up().stderr == ""


@needs_pip
def test_a_set_up_says_how_far_it_is(project: Project) -> None:
    project.program("python3", NO_ENSUREPIP)
    (project.folder / "nothing.txt").write_text(f"./{empty_package(project.folder)}\n")
    done = project.set_up()
    assert project.ready, done.stderr
    assert "  installing packages: 1\n" in done.stderr
    assert done.stdout == ""
    assert "\033" not in done.stderr, "no terminal's codes in a log"


@needs_pip
def test_an_interrupted_set_up_counts_for_nothing(project: Project) -> None:
    project.program("python3", NO_ENSUREPIP)
    (project.folder / "venv/bin").mkdir(parents=True)
    (project.folder / "venv/bin/half").write_text("")
    assert project.set_up().returncode == 0
    assert project.ready
    assert not (project.folder / "venv/bin/half").exists()


@needs_pip
def test_a_failed_set_up_is_not_ready(project: Project) -> None:
    project.program("python3", NO_ENSUREPIP)
    (project.folder / "nothing.txt").write_text("no-such-package-anywhere\n")
    done = project.set_up()
    assert done.returncode != 0
    assert "no-such-package-anywhere" in done.stderr
    assert not project.ready


@needs_pip
def test_a_python_without_ensurepip_will_do(project: Project) -> None:
    project.program("python3", NO_ENSUREPIP)
    done = project.set_up()
    assert "no ensurepip" in done.stderr
    assert done.returncode == 0, done.stderr
    assert project.ready
    assert project.runs()
    assert not (project.folder / "venv/bin/pip").exists()


def test_a_python_that_can_make_no_environment_says_what_to_install(project: Project) -> None:
    project.program("python3", NEITHER_ENSUREPIP_NOR_PIP)
    done = project.set_up()
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr
    assert "ensurepip is not available" in done.stderr
    assert not project.ready


@needs_pip
def test_an_old_python3_is_passed_over_for_a_newer_one(project: Project) -> None:
    project.program("python3", TOO_OLD)
    project.program("python3.12", NO_ENSUREPIP)
    assert project.set_up().returncode == 0
    assert project.ready


def test_only_an_old_python_is_an_error_that_names_it(project: Project) -> None:
    project.program("python3", TOO_OLD)
    done = project.set_up()
    assert done.returncode != 0
    assert "no Python 3.11 or newer on PATH (Python 3.9.2)" in done.stderr


def test_the_python_that_was_asked_for_must_do(project: Project) -> None:
    project.program("python3", NO_ENSUREPIP)
    project.program("old", TOO_OLD)
    done = project.set_up(PYTHON="old")
    assert done.returncode != 0
    assert "PYTHON=old is no Python 3.11 or newer: Python 3.9.2" in done.stderr
