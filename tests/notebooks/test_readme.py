"""The README's examples work as they stand: its Python runs, and prints what it says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

import etcd_watcher
from etcd_watcher import Event, Journal, LocalCluster, LocalEtcd, Watcher
from tests.notebooks.pages import ROOT, Block, blocks, run

README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = blocks("README.md")


def curl(block: Block, url: str) -> None:
    """Run the curl commands of a block against our server."""
    for command in block.text.splitlines():
        found = re.fullmatch(
            r'curl http://localhost:2379(/v2/keys/\S+) -XPUT -d (value)="([^"]*)"', command
        )
        assert found, command
        # Python sends the same request: not every machine has curl.
        request = Request(url + found[1], f"{found[2]}={found[3]}".encode(), method="PUT")  # noqa: S310 - loopback
        build_opener(ProxyHandler({})).open(request, timeout=10).close()


def test_every_example_runs_and_prints_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main(url: str) -> None:
        names: dict[str, Any] = {"__name__": "__main__"}
        for block, following in zip(BLOCKS, [*BLOCKS[1:], None], strict=True):
            if block.language == "python":
                await run(block, names)
            elif block.text.startswith("curl"):
                curl(block, url)
                names["the_watcher"].sync()
            else:
                continue
            shown = capsys.readouterr()
            said = following.text if following is not None and following.language == "text" else ""
            assert shown.out == said, f"README.md, line {block.line}"
            assert shown.err == ""
        names["the_watcher"].close()
        names["watcher"].close()
        names["etcd"].stop()

    with LocalEtcd() as etcd:
        # What `Watcher()` finds where there is no server on the usual port.
        monkeypatch.setenv("ETCDCTL_ENDPOINTS", etcd.url)
        monkeypatch.chdir(tmp_path)  # where it records
        asyncio.run(main(etcd.url))


def test_the_walkthrough_tells_who_is_subscribed() -> None:
    (walkthrough,) = [each for each in BLOCKS if "# Create a watcher" in each.text]
    with LocalEtcd() as etcd:
        names: dict[str, Any] = {}
        for statement in ast.parse(walkthrough.text).body:
            source = ast.get_source_segment(walkthrough.text, statement)
            assert source is not None
            line = walkthrough.text.splitlines()[statement.lineno - 1]
            if source == "the_watcher = Watcher()":
                source = f"the_watcher = Watcher({etcd.url!r})"
            if "get_subscribers" in source:
                assert repr(eval(source, names)) == line.split("# ")[1]  # noqa: S307
            else:
                exec(source, names)  # noqa: S102
        names["the_watcher"].close()


def test_the_first_example_is_about_ten_lines_and_needs_nothing_else(tmp_path: Path) -> None:
    first = next(each for each in BLOCKS if each.language == "python")
    assert 8 <= first.text.count("\n") <= 12
    script = tmp_path / "ten_lines.py"
    script.write_text(first.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == (BLOCKS[BLOCKS.index(first) + 1].text, "")


@pytest.mark.parametrize("shown", [Watcher, LocalEtcd, LocalCluster])
def test_the_reference_has_every_argument_and_every_public_name(shown: type) -> None:
    signature = re.search(rf"^`{shown.__name__}\((.*)\)`$", README, re.MULTILINE)
    assert signature
    arguments = [*inspect.signature(shown).parameters]
    assert re.findall(r"(\w+)=", signature[1]) == arguments
    reference = README[signature.start() :].split("\n#")[0]
    missing = [
        name
        for name in dir(shown)
        if not name.startswith("_") and not re.search(rf"`[^`|]*\b{name}\b", reference)
    ]
    assert not missing


# What a journal has for its other readers.
INSIDE = {
    "append",
    "begin_anew",
    "close",
    "closed",
    "end",
    "read",
    "read_timed",
    "since",
    "size",
    "start",
    "tap",
    "wait",
}
NAMES = {*etcd_watcher.__all__, *Event._fields, *vars(Event), *vars(Journal)} - INSIDE


@pytest.mark.parametrize("name", sorted(name for name in NAMES if not name.startswith("_")))
def test_the_readme_knows_every_public_name(name: str) -> None:
    assert re.search(rf"\b{name}\b", README)
