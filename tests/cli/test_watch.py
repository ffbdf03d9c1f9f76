"""`etcd-watcher watch`: what it prints, for programs and for people."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etcd_watcher import Event, LocalEtcd, Watcher
from etcd_watcher.recording.format import understand
from tests.cli.conftest import COMMAND, Run, Start, Terminal

Open = Callable[..., Terminal]

HOSTILE = b"\x1b[2J\x1b]0;owned\x07\r\n\xff\xe2\x80\xae<b>"


def lines(process: subprocess.Popen[bytes], count: int) -> list[bytes]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


@pytest.fixture
def since(publisher: Watcher, fresh_key: str) -> str:
    """The first revision of what the test writes: nothing depends on when the program is ready."""
    return f"--since={publisher.put(fresh_key + '-before', 'x') + 1}"


def test_behind_a_pipe_each_change_is_a_json_line_that_holds_every_byte(
    start: Start, publisher: Watcher, fresh_key: str, since: str
) -> None:
    key = fresh_key.encode() + HOSTILE
    process = start("watch", key, since)
    first = publisher.put(key, HOSTILE)
    publisher.put(fresh_key + "other", "not asked for")
    publisher.put(key, "hello", ttl=100)
    publisher.delete(key)
    told = [understand(each)[0] for each in lines(process, 3)]
    came = [each for each in told if isinstance(each, Event) and each.raw_key == key]
    assert [each.raw_value for each in came] == [HOSTILE, b"hello", None]
    assert came[0].revision == first


def test_json_lines_are_ascii_and_begin_with_no_header(
    start: Start, publisher: Watcher, fresh_key: str, since: str
) -> None:
    process = start("watch", "--prefix", fresh_key, since)
    publisher.put(fresh_key, "Ünïcödé")
    (line,) = lines(process, 1)
    assert line.isascii()
    assert json.loads(line)["value"] == "Ünïcödé"


def test_several_keys_come_in_one_order_wherever_they_stand(
    start: Start, publisher: Watcher, fresh_key: str, since: str
) -> None:
    keys = [f"{fresh_key}-{number}" for number in range(3)]
    process = start("watch", keys[0], since, keys[1], "--json", keys[2])
    for key in [*keys, *reversed(keys)]:
        publisher.put(key, "x")
    assert [json.loads(line)["key"] for line in lines(process, 6)] == [*keys, *reversed(keys)]


def test_a_person_gets_lines_in_colour(
    terminal: Open, publisher: Watcher, fresh_key: str, since: str
) -> None:
    shown = terminal("watch", "--prefix", fresh_key, since)
    revision = publisher.put(fresh_key, "hello")
    publisher.delete(fresh_key)
    seen = shown.read_until("\x1b[31mDELETE\x1b[0m")
    assert f"{revision}\x1b[0m  \x1b[32mPUT   \x1b[0m  {fresh_key} = hello\r\n" in seen


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_person_who_wants_no_colours_gets_none(
    terminal: Open, publisher: Watcher, fresh_key: str, since: str, plain: dict[str, str]
) -> None:
    shown = terminal("watch", fresh_key, since, env=plain)
    publisher.put(fresh_key, "hello")
    seen = shown.read_until("hello\r\n")
    assert f"PUT     {fresh_key} = hello" in seen
    assert "\x1b" not in seen


def test_hostile_values_play_no_tricks_on_a_terminal(
    terminal: Open, publisher: Watcher, fresh_key: str, since: str
) -> None:
    shown = terminal("watch", "--prefix", fresh_key, since, "--color=never")
    publisher.put(fresh_key.encode() + HOSTILE, HOSTILE)
    publisher.put(fresh_key, "end")
    seen = shown.read_until("= end\r\n")
    assert seen.count("\r\n") == 2
    assert seen.replace("\r\n", "").isprintable()
    assert r"\x1b[2J\x1b]0;owned\x07\r\n\udcff\u202e<b> = \x1b[2J" in seen


def test_text_and_json_can_be_asked_for(
    start: Start, terminal: Open, publisher: Watcher, fresh_key: str, since: str
) -> None:
    piped = start("watch", fresh_key, since, "--text")
    shown = terminal("watch", fresh_key, since, "--json")
    publisher.put(fresh_key, "hello")
    assert lines(piped, 1)[0].decode().split() == [
        since.removeprefix("--since="),
        "PUT",
        fresh_key,
        "=",
        "hello",
    ]
    assert '"value": "hello"' in shown.read_until("}\r\n")


def test_a_plain_locale_gets_escapes_for_what_it_has_no_characters_for(
    start: Start, publisher: Watcher, fresh_key: str, since: str
) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = start("watch", fresh_key, since, "--text", env=ascii_only)
    publisher.put(fresh_key, "é")
    assert lines(process, 1)[0].endswith(b"= \\xe9\n")


def test_v2_is_watched_where_it_is_asked_for(start: Start, etcd: LocalEtcd, fresh_key: str) -> None:
    with Watcher(etcd, api="v2") as publisher:
        since = publisher.put(f"{fresh_key}/before", "x") + 1
        process = start(
            "watch", "--prefix", fresh_key, f"--since={since}", env={"ETCDCTL_API": "2"}
        )
        publisher.put(f"{fresh_key}/child", "hello")
        line = json.loads(lines(process, 1)[0])
    assert (line["key"], line["action"]) == (f"/{fresh_key}/child", "set")


@pytest.mark.parametrize(("given", "api"), [(["--api", "v4"], "3"), ([], "7")])
def test_an_api_that_there_is_not_is_refused(run: Run, given: list[str], api: str) -> None:
    status, out, complaints = run("watch", "a", *given, env={"ETCDCTL_API": api})
    assert (status, out) == (2, "")
    assert "is no API of etcd: auto, v2, v3; in ETCDCTL_API 2 or 3" in complaints


def test_a_lost_connection_is_said_aside_and_loses_nothing(start: Start) -> None:
    with LocalEtcd(v2=False) as server, Watcher(server) as publisher:
        since = publisher.put("key", "before") + 1
        process = start("watch", "key", f"--since={since}", env={"ETCDCTL_ENDPOINTS": server.url})
        publisher.put("key", "one")
        assert json.loads(lines(process, 1)[0])["value"] == "one"
        server.kill()
        assert process.stderr is not None
        assert b"lost" in process.stderr.readline()
        server.start()
        assert b"again" in process.stderr.readline()
        publisher.put("key", "two")
        assert json.loads(lines(process, 1)[0])["value"] == "two"


def test_history_that_is_gone_is_said_with_the_way_out(run: Run) -> None:
    with LocalEtcd(v2=False) as server, Watcher(server) as publisher:
        for value in "abc":
            revision = publisher.put("key", value)
        subprocess.run(
            ["etcdctl", "compact", str(revision)],
            env=os.environ | {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": server.url},
            check=True,
            capture_output=True,
        )
        status, out, complaint = run(
            "watch", "key", "--since=1", env={"ETCDCTL_ENDPOINTS": server.url}
        )
        assert (status, out) == (1, "")
        assert f"before revision {revision}" in complaint
        assert complaint.count("\n") == 1
        way_out = re.search(r"begin with --since (\d+),", complaint)
        assert way_out is not None
        publisher.put("key", "d")
        with publisher.events("key", since=int(way_out[1])) as events:
            assert next(events).value == "d"


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["watch"], 2, "KEY"),
        ([], 2, "COMMAND"),
        (["watch", "key", "--since=0"], 2, "'0' is no revision"),
        (["watch", "key", "--json", "--text"], 2, "not allowed with"),
        (["watch", "key", "--endpoints=ftp://one:1"], 2, "the endpoint 'ftp://one:1' has the"),
        (["watch", ""], 2, "a key"),
        (["watch", "key", "--cacert=/nowhere.pem"], 2, "--cacert '/nowhere.pem' is no file"),
        (["watch", "key", "--endpoints=127.0.0.1:1x"], 2, "'127.0.0.1' has no usable port"),
        (["watch", "key", "--endpoints=127.0.0.1:1"], 1, "name another with --endpoints"),
        (["watch", "key", "--since=1000000"], 2, "--since 1000000 is yet to come"),
        (["watch", "key", "--user=ana:s3cr3t"], 1, "leave out --user and --password"),
        (["watch", "key", "--user=ana"], 2, "a user without a password: give --password too"),
        (["watch", "key", "--password=s3cr3t"], 2, "a password without a user: give --user too"),
        (["watch", "key", "--cert=me.pem"], 2, "needs both --cert and --key"),
        (["watch", "key", "--user=ana", "--password=s3cr3t"], 1, ""),
    ],
)
def test_what_cannot_be_is_one_line_of_complaint_and_no_password(
    run: Run, arguments: list[str], status: int, complaint: str
) -> None:
    came = run(*arguments)
    assert came[:2] == (status, "")
    assert complaint in came[2]
    assert "Traceback" not in came[2]
    assert "s3cr3t" not in came[2]
    assert came[2].splitlines()[-1].startswith("etcd-watcher")


def test_help_costs_no_connection_and_loads_nothing_heavy() -> None:
    code = """
import sys
sys.argv = ["etcd-watcher", "watch", "--help"]
from etcd_watcher.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
heavy = {"grpc", "google.protobuf", "etcd", "IPython", "etcd_watcher.watcher"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "ETCDCTL_ENDPOINTS" in done.stdout
    assert "examples:" in done.stdout


def test_the_console_script_is_the_same_command() -> None:
    script = Path(sys.executable).with_name("etcd-watcher")
    told: list[Any] = [
        subprocess.run([*command, "--version"], capture_output=True, check=True, timeout=60).stdout
        for command in ([script], COMMAND)
    ]
    assert told[0] == told[1] == b"0.1.0\n"
