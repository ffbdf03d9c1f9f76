"""Changes made with curl and with etcdctl, as a person makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Subscriber, Watcher


def program(name: str, etcd: LocalEtcd) -> str:
    beside = Path(etcd.binary).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI has {name}")
        pytest.skip(f"no {name} here")
    return found


def write(etcd: LocalEtcd, api: str, key: str, value: str) -> None:
    """Write a key as the walkthrough does."""
    if api == "v2":
        url = f"{etcd.url}/v2/keys/{key}"
        command = [program("curl", etcd), "-sS", url, "-XPUT", "-d", f"value={value}"]
    else:
        command = [program("etcdctl", etcd), "--endpoints", etcd.url, "put", key, value]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=environment)


def test_the_walkthrough_line_by_line(api: str, capsys: pytest.CaptureFixture[str]) -> None:
    with LocalEtcd(version="3.5") as etcd, Watcher(etcd.url, api=api) as the_watcher:
        luis = Subscriber("Luis")
        antonio = Subscriber("Antonio")
        juan = Subscriber("Juan")
        the_watcher.register("nokia", luis, "do_things")
        the_watcher.register("redhat", luis, "do_things")
        the_watcher.register("google", antonio, "do_things")
        the_watcher.register("redhat", juan, "do_things")
        the_watcher.register("nokia", juan, "do_things")
        assert the_watcher.get_subscribers("nokia") == [luis, juan]
        the_watcher.unregister("nokia", luis)
        assert the_watcher.get_subscribers("nokia") == [juan]
        the_watcher.add_key("amazon")
        assert the_watcher.get_subscribers("amazon") == []
        the_watcher.register("amazon", juan, "do_things")
        assert the_watcher.get_subscribers("amazon") == [juan]

        for news in ("google news 1", "google news 2", "redhat news", "nokia news", "amazon news"):
            write(etcd, api, news.split()[0], news)
        the_watcher.sync()
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if line.startswith("Luis")] == ["Luis: redhat = redhat news"]
        assert [line for line in lines if line.startswith("Antonio")] == [
            "Antonio: google = google news 1",
            "Antonio: google = google news 2",
        ]
        assert [line for line in lines if line.startswith("Juan")] == [
            "Juan: redhat = redhat news",
            "Juan: nokia = nokia news",
            "Juan: amazon = amazon news",
        ]
        assert len(lines) == 6
