"""`etcd-watcher dashboard`: the dashboard as a page of its own, served by Voila."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from etcd_watcher.cli.environment import become, environment_for, need
from etcd_watcher.cli.port import port_to_serve_on
from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.watcher import Watcher

__all__ = ["opened", "run"]

WANTED = "ETCD_WATCHER_DASHBOARD"
"""The variable that tells a page's kernel what to show, as JSON."""


def run(options: argparse.Namespace) -> int:
    """Look whether there is a server, then become Voila."""
    need(["voila", "anywidget", "ipykernel"], "dashboard")
    environment = environment_for(options, os.environ)
    environment[WANTED] = json.dumps(
        {
            "api": options.api,
            "keys": [to_text(each) for each in options.key],
            "prefix": options.prefix,
            "read_only": options.read_only,
        }
    )
    os.environ.update(environment)
    Watcher(api=options.api).close()
    arguments = [] if options.port is None else ["--port", str(port_to_serve_on(options.port))]
    if not options.browser:
        arguments.append("--no-browser")
    become([sys.executable, "-m", "etcd_watcher.cli.serving", "dashboard", *arguments], environment)


def opened() -> Any:
    """Give the dashboard that was asked for, in a page's kernel; or print why there is none."""
    from etcd_watcher.widgets import Dashboard  # noqa: PLC0415 - `run` may be without widgets

    wanted = json.loads(os.environ[WANTED])
    try:
        watcher = Watcher(api=wanted["api"])
        if wanted["keys"]:
            keys = [to_bytes(each) for each in wanted["keys"]]
            watcher.add_key(keys, prefix=wanted["prefix"])
    except EtcdWatcherError as error:
        print(error)  # noqa: T201 - on the page
        return None
    dashboard = Dashboard(watcher, read_only=wanted["read_only"])
    if wanted["prefix"] and len(wanted["keys"]) == 1:
        dashboard.revision_slider.prefix = wanted["keys"][0]
    return dashboard
