"""What a server's kernels are told of etcd: in their environment, where no list of processes shows it."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from etcd_watcher.cli.connection import password_for
from etcd_watcher.errors import EtcdWatcherError

__all__ = ["become", "environment_for", "need"]

OPTIONS = {
    "endpoints": "ETCDCTL_ENDPOINTS",
    "cacert": "ETCDCTL_CACERT",
    "cert": "ETCDCTL_CERT",
    "key_file": "ETCDCTL_KEY",
    "user": "ETCDCTL_USER",
}
FILES = {"cacert", "cert", "key_file"}


def environment_for(options: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Give an environment in which `Watcher()` is what the options describe."""
    made = dict(environ)
    for option, variable in OPTIONS.items():
        given: str | None = getattr(options, option)
        if given is not None:
            # Kernels run in the folders of their notebooks.
            made[variable] = str(Path(given).absolute()) if option in FILES else given
    if options.user is not None:
        made.pop("ETCDCTL_PASSWORD", None)  # that of another user
    password = password_for(options)
    if password is None and options.user is not None and ":" not in options.user:
        password = environ.get("ETCDCTL_PASSWORD")
    if password is not None:
        made["ETCDCTL_PASSWORD"] = password
    # The kernel of this environment, even where the person has another one of that name.
    made.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    made.setdefault("PYTHONUNBUFFERED", "1")
    return made


def need(modules: Sequence[str], extra: str) -> None:
    """Check that what a command needs is installed.

    Raises
    ------
    EtcdWatcherError
        It names the extra that installs it.
    """
    missing = [each for each in modules if importlib.util.find_spec(each) is None]
    if missing:
        raise EtcdWatcherError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed here: "
            f"pip install 'etcd-watcher[{extra}]'"
        )


def become(program: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Go on as another program, whose arguments hold no password; it does not return."""
    os.execve(program[0], list(program), dict(environment))  # noqa: S606 - this Python, no shell
