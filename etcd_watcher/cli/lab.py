"""`etcd-watcher lab`: JupyterLab, whose notebooks find the server that the options name."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from etcd_watcher.cli.environment import become, environment_for, need
from etcd_watcher.cli.lines import say
from etcd_watcher.cli.port import port_to_serve_on

__all__ = ["run"]

HERE = Path(__file__).parent


def run(options: argparse.Namespace) -> int:
    """Become JupyterLab."""
    need(["jupyterlab", "anywidget", "ipykernel"], "lab")
    arguments = [] if options.port is None else ["--port", str(port_to_serve_on(options.port))]
    if not options.browser:
        arguments.append("--no-browser")
    if options.notebook is not None:
        path = Path(options.notebook)
        if path.suffix != ".ipynb":
            raise ValueError(f"{options.notebook} is no notebook: name it {path.stem}.ipynb")
        if not path.exists():
            path.write_text(new_notebook(options.api), encoding="utf-8")
            say(f"{path} is new: run its cell to see the dashboard")
        arguments.append(str(path))
    environment = environment_for(options, os.environ)
    # No news and no look-ups, and nobody is asked whether to have them.
    settings = [environment.get("JUPYTER_CONFIG_PATH"), str(HERE / "jupyter")]
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, settings))
    become([sys.executable, "-m", "etcd_watcher.cli.serving", "lab", *arguments], environment)


def new_notebook(api: str) -> str:
    """Give a notebook that shows the dashboard of `Watcher()`: it holds no address and no password."""
    notebook = json.loads((HERE / "lab.ipynb").read_text(encoding="utf-8"))
    if api != "auto":
        source = notebook["cells"][0]["source"]
        source[:] = [line.replace("Watcher()", f'Watcher(api="{api}")') for line in source]
    return json.dumps(notebook, indent=1) + "\n"
