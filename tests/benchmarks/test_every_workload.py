"""Each benchmark runs, at a thousandth of its size, with whatever other clients are here."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import claims, report
from benchmarks.measure import Measurement, Size
from benchmarks.peers import follow
from etcd_watcher.local import LocalEtcd
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
NAMES = [
    "catch-up",
    "catch-up-long",
    "catch-up-transactions",
    "live",
    "fan-out",
    "many-keys",
    "slow",
    "memory",
    "v2",
    "sync",
    "start",
    "beside",
    "beside-cluster",
    "recording",
]
LIKE_ANOTHER = {"catch-up-long", "catch-up-transactions", "beside"}
"""Those that differ from another in figures only."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[pytest.mark.slow] * (each in LIKE_ANOTHER)) for each in NAMES],
)
def test_it_runs_and_measures_something(name: str) -> None:
    done = run("--rounds", "1", "--scale", "0.001", name)
    assert done.returncode == 0, done.stderr
    figures = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert figures
    assert not re.search(r"NOT|failed|not done", done.stdout), done.stdout


def test_all_of_them_are_tried_here() -> None:
    said = run("--help").stdout
    assert all(name in said for name in NAMES)
    assert run("nothing-of-the-kind").returncode != 0
    listed = " ".join(said.split()).partition("of: ")[2].partition(" options:")[0]
    assert sorted(listed.split(", ")) == sorted(NAMES)


ROUNDS = [
    Measurement("100,000 events", "etcdctl", rate, "events/s") for rate in (900.0, 1100.0, 1000.0)
]


@pytest.mark.parametrize(("ours", "holds"), [(16_000, True), (14_000, False)])
def test_a_claim_is_held_against_the_medians(ours: float, *, holds: bool) -> None:
    found = report.rows([*ROUNDS, Measurement("100,000 events", report.OURS, ours, "events/s")])
    first = next(iter(claims.check({"catch-up": found})))
    assert first.holds is holds


def test_what_was_not_measured_is_not_claimed() -> None:
    assert {each.holds for each in claims.check({})} == {None}


def test_where_others_are_better_is_said_and_by_how_much() -> None:
    figures = [
        Measurement("1,000 puts/s", way, figure, "ms p50")
        for way, figure in [("stub", 0.8), (report.OURS, 1.0), ("near", 0.97), ("best", 0.4)]
    ]
    figures += [
        Measurement("10 events", way, figure, "events/s")
        for way, figure in [(report.OURS, 1000.0), ("more", 2000.0), ("less", 500.0)]
    ]
    assert list(report._better({"live": report.rows(figures)})) == [
        "| live | 1,000 puts/s | ms p50 | 1 | best 0.4, stub 0.8 |",
        "| live | 10 events | events/s | 1,000 | more 2,000 |",
    ]


def test_no_size_is_nothing() -> None:
    assert Size(scale=0.001).of(10) == 1
    assert Size(scale=0.5).of(10, least=7) == 7


def test_the_page_is_what_the_figures_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = json.loads(report.FIGURES.read_text(encoding="utf-8"))
    page = report.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    report.write()
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page
    assert all(f"## {name}\n" in page for name in figures)


def test_one_that_takes_too_long_is_ended_with_what_it_started(etcd: LocalEtcd) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        follow("etcdctl", etcd.url, "nothing/", 1, timeout=2)

    def is_over() -> bool:
        running = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
        return not [each for each in running if f"--endpoints={etcd.url}" in each]

    # What it started is killed with it, and is not our child: nobody tells of its end.
    assert eventually(is_over)


FOLLOWS_OR_WRITES = re.compile(r"benchmarks\.(ways etcd_watcher live|writing steady)")
"""Ours waits for its server to come back, once its watch is open; then the writer is started."""


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def is_there(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_that_it_started(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks", "--scale", "0.1", "live"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        started: list[psutil.Process] = []

        def both_are_there() -> bool:
            started[:] = psutil.Process(process.pid).children(recursive=True)
            found = {FOLLOWS_OR_WRITES.search(" ".join(cmdline(each))) for each in started}
            return len({each[0] for each in found if each}) == 2

        try:
            assert eventually(both_are_there)
            process.send_signal(number)
            status = process.wait(20)
            assert eventually(lambda: not any(is_there(each) for each in started))
            assert status == 128 + number
        finally:
            process.kill()
            for each in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
