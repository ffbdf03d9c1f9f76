"""pyproject.toml, environment.yml, constraints.txt and .ci/run tell one story."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
DECLARED = [
    Requirement(each) for group in [PROJECT["dependencies"], *EXTRAS.values()] for each in group
]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
]
# Debian 12's Python 3.11.2 is older than some packages' newest versions ask for.
PYTHONS = ["3.11.2", "3.11.9", "3.12.0", "3.13.0"]


def pinned(python: str) -> dict[str, Version]:
    """Give each package's version on that Python, here on Linux."""
    environment = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    return {
        canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("=="))
        for pin in PINS
        if pin.marker is None or pin.marker.evaluate(environment)
    }


def pip_lines() -> list[list[str]]:
    (lines,) = [each["pip"] for each in ENVIRONMENT["dependencies"] if isinstance(each, dict)]
    return [shlex.split(line) for line in lines]


def extras_of(argument: str) -> set[str]:
    match = re.fullmatch(r"\.\[([\w,]+)\]", argument)
    assert match, f"{argument} installs no extras of this project"
    return set(match[1].split(","))


def test_the_environment_takes_python_and_pip_from_conda_and_nothing_else() -> None:
    conda = [each for each in ENVIRONMENT["dependencies"] if isinstance(each, str)]
    assert [re.match(r"\w+", each)[0] for each in conda] == ["python", "pip"]  # type: ignore[index]
    assert ENVIRONMENT["channels"] == ["conda-forge"]


def test_the_environments_python_is_one_that_we_test() -> None:
    python = ENVIRONMENT["dependencies"][0].removeprefix("python=")
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_the_environment_installs_this_project_with_all_extras_as_pinned() -> None:
    assert ["-c", "constraints.txt"] in pip_lines()
    (editable,) = [line[1] for line in pip_lines() if line[0] == "-e"]
    assert extras_of(editable) == set(EXTRAS)


def test_make_installs_the_same_as_the_environment() -> None:
    match = re.search(r"^extras := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert match
    assert shlex.split(match[1]) == [word for line in pip_lines() for word in line]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_to_a_version_that_we_declare(python: str) -> None:
    versions = pinned(python)
    for requirement in DECLARED:
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_ci_tries_the_oldest_hpack_and_protobuf_that_we_declare() -> None:
    tried = re.search(r"'hpack==([\d.]+)' 'protobuf==([\d.]+)\.\*'", (ROOT / ".ci/run").read_text())
    assert tried
    declared = {each.name: str(each.specifier) for each in DECLARED}
    assert f">={tried[1]}" in declared["hpack"]
    assert f">={tried[2]}" in declared["protobuf"]


def test_the_package_knows_the_version_that_is_declared() -> None:
    from importlib.metadata import version  # noqa: PLC0415 - of the installed project

    assert version("etcd-watcher") == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
