"""The house's order: imports point down, and the core knows neither notebooks nor widgets."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "etcd_watcher"

# From the ground up. A module may import what is on its own floor or below. A name stands for the
# module and, if it is a package, for all that is in it. CONTRIBUTING.md draws the same house.
FLOORS = [
    {
        "keys",
        "arguments",
        "table",
        "errors",
        "event",
        "listing",
        "sanitize",
        "_html",
        "interactive",
        "blame",
        "log",
        "deadline",
        "background",
        "endpoints",
        "secret",
    },
    {
        "stores",
        "journal",
        "cursor",
        "frame",
        "recording",
        "expect",
        "states",
        "moment",
        "subscriber",
        "local",
        "testing",
    },
    {
        "mailbox",
        "onlooker",
        "lagging",
        "pool",
        "relay",
        "vouching",
        "dispatch",
        "bundle",
        "turns",
        "router",
        "demux",
        "lives",
    },
    {"feed", "reach", "growth", "backoff", "catchup", "shared_past", "resync", "census", "client"},
    {
        "registry",
        "stream",
        "waiting",
        "timemachine",
        "playing",
        "expecting",
        "connect",
        "witness",
        "watcher",
    },
    {"widgets"},
    {"ipython", "pytest_plugin", "cli", "__main__"},
]
# LocalEtcd gives servers to people and tests, and the checkers judge what a watcher told; no other
# part knows that they exist, but for the doors by which people come in.
STANDS_ALONE = {"local", "testing"}
NOT_FOR_THE_CORE = {"IPython", "ipywidgets", "anywidget", "pandas", "ipykernel", "traitlets"}
FOR_NOTEBOOKS = {"ipython", "widgets"}
LONGEST = 400

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part(name: str) -> str:
    """Give the part of the house that "etcd_watcher.stores.v3" belongs to: "stores"."""
    return name.split(".")[1]


def floor(name: str) -> int:
    for number, parts in enumerate(FLOORS):
        if name in parts:
            return number
    pytest.fail(f"which floor is etcd_watcher.{name} on? Say so in FLOORS, {__file__}")


def imports(path: Path) -> set[str]:
    """Give the modules that a file imports when it runs, anywhere in it: not those that only its
    annotations name."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        block
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
    ]
    skipped = {id(node) for block in for_types for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found.add(node.module or "")
            if node.module == "etcd_watcher":
                found |= {f"etcd_watcher.{alias.name}" for alias in node.names}
    return found


@cache
def offers(name: str) -> set[str] | None:
    """Give what a module of ours has in its `__all__`, and below it; None where it says nothing."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    below = {each.stem for each in path.glob("*.py")}
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return below | set(ast.literal_eval(node.value))
    return None


def own(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = own(path)
    for name in imports(path):
        if name.startswith("etcd_watcher."):
            there = part(name)
            assert floor(there) <= floor(here), f"{path.name} imports {name} from above"
            alone = there in STANDS_ALONE and here not in {there, *FLOORS[-1]}
            assert not alone, f"{path.name} imports {name}"
        else:
            assert name != "etcd_watcher", f"{path.name} imports the public names, which import it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_imports_no_notebook_and_no_widget(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    if own(path) in FOR_NOTEBOOKS:
        roots -= {"IPython", "ipywidgets", "anywidget", "ipykernel", "traitlets"}
    if own(path) == "frame":
        roots -= {"pandas"}
    assert not roots & NOT_FOR_THE_CORE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_takes_from_another_what_that_one_offers(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("etcd_watcher."):
            offered = offers(node.module or "")
            taken = {alias.name for alias in node.names}
            assert offered is None or taken <= offered, f"{node.module}: say so in its __all__"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST


def test_every_part_is_drawn_in_the_contributors_house() -> None:
    parts = {own(path) for path in MODULES}
    assert parts == set().union(*FLOORS)
    drawing = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[1]
    drawn = [name for name in re.findall(r"[a-z_]+", drawing) if name in parts]
    assert sorted(drawn) == sorted(parts), "each part once"
    assert [floor(name) for name in drawn] == sorted(map(floor, drawn), reverse=True)


def test_the_rules_are_not_kept_by_looking_at_nothing() -> None:
    assert len(MODULES) >= 20
    assert "etcd_watcher.keys" in imports(PACKAGE / "event.py")
    assert "KeyRange" in (offers("etcd_watcher.keys") or ())
