"""What errors advise, in a shell's words: they name Python's arguments, and here there are options."""

from __future__ import annotations

import re

from etcd_watcher.errors import START_ONE

__all__ = ["for_a_shell"]

IN_PYTHON_ONLY = {
    START_ONE: "Start one, or name another with --endpoints",
    " (LocalEtcd() does)": "",
    "overwrite=True": "--overwrite",
}

OPTIONS = {name: name.replace("_", "") for name in ("ca_cert", "cert", "key", "user", "password")}

ARGUMENT = re.compile(rf"""(?<!["'])\b({"|".join(OPTIONS)})=(?=(['"])|[\s,.:)]|$)""")
"""An argument with its value, or named alone."""

WITH_VALUE = re.compile(r'\b(api|since)="?(v[23]|\d+)"?')


def for_a_shell(message: str) -> str:
    """Give an error's message with options in place of Python's arguments."""
    for ours, theirs in IN_PYTHON_ONLY.items():
        message = message.replace(ours, theirs)
    message = WITH_VALUE.sub(r"--\1 \2", message)
    return ARGUMENT.sub(lambda found: f"--{OPTIONS[found[1]]}{' ' if found[2] else ''}", message)
