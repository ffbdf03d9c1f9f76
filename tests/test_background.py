"""Event loops, found where there are any, and not looked for with `asyncio` where there are none."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from etcd_watcher import LocalEtcd
from etcd_watcher.background import running_loop

WATCHES = """
import sys
from etcd_watcher import Watcher
with Watcher(sys.argv[1], api="v3") as watcher:
    told = []
    watcher.on("k")(told.append)
    watcher.put("k", "news")
    watcher.sync()
    assert next(iter(watcher.events("k", since=told[0].revision))) == told[0]
print(sorted({"asyncio", "grpc", "etcd", "IPython", "pandas"} & set(sys.modules)))
"""


def test_who_runs_no_event_loop_does_not_wait_for_asyncio_to_be_imported(etcd: LocalEtcd) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHES, etcd.url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[]\n"


def test_the_loop_of_a_coroutine_is_found_and_no_other() -> None:
    async def look() -> bool:
        inside = await asyncio.to_thread(running_loop)
        return running_loop() is asyncio.get_running_loop() and inside is None

    assert running_loop() is None
    assert asyncio.run(look())


def test_without_asyncio_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio")
    assert running_loop() is None
