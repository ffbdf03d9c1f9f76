"""The session's server: as new for each test, whatever the one before has done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from etcd_watcher import Watcher
from etcd_watcher.pytest_plugin import shared
from etcd_watcher.pytest_plugin.shared import SharedServer


@pytest.fixture
def server(any_version: str) -> Iterator[SharedServer]:
    made = SharedServer(v2=True, version=any_version)
    yield made
    made.etcd.stop()


def ask(server: SharedServer, what: str, **fields: Any) -> dict[str, Any]:
    with closing(server._connect()) as connection:
        return shared._ask(connection, what, **fields)


def write_v3(server: SharedServer) -> None:
    lease = ask(server, "lease/grant", TTL="600")["ID"]
    ask(server, "kv/put", key="AA==", value="eA==")  # NUL: the first key that there can be
    ask(server, "kv/put", key="/w==", value="eA==", lease=lease)


def write_v2(server: SharedServer) -> None:
    for key in ("visible", "_hidden", "in/a/_hidden/place"):
        server.etcd.put(key, "x", api="v2")


def v2_user(server: SharedServer) -> None:
    connection = server._connect()
    with closing(connection):
        connection.request("PUT", "/v2/auth/users/root", '{"user": "root", "password": "pw"}')
        assert connection.getresponse().status == 201


def add_user(server: SharedServer) -> None:
    ask(server, "auth/user/add", name="ana", password="pw")


def add_role(server: SharedServer) -> None:
    ask(server, "auth/role/add", name="reader")


def enable_auth(server: SharedServer) -> None:
    ask(server, "auth/user/add", name="root", password="pw")
    ask(server, "auth/role/add", name="root")
    ask(server, "auth/user/grant", user="root", role="root")
    ask(server, "auth/enable")


def raise_alarm(server: SharedServer) -> None:
    ask(server, "maintenance/alarm", action="ACTIVATE", memberID="1", alarm="NOSPACE")


def stop(server: SharedServer) -> None:
    server.etcd.stop()


def kill(server: SharedServer) -> None:
    write_v3(server)
    server.etcd.kill()


def crash(server: SharedServer) -> None:
    write_v3(server)
    assert server.etcd.pid is not None
    psutil.Process(server.etcd.pid).kill()


def pause(server: SharedServer) -> None:
    write_v3(server)
    server.etcd.pause()


def state(server: SharedServer) -> dict[str, Any]:
    """Tell all that a test can find, but for revisions."""
    with closing(server._connect()) as connection:
        connection.request("GET", "/v2/auth/users")
        v2_users = connection.getresponse().read()
    return {
        "keys": ask(server, "kv/range", **shared.ALL_KEYS).get("kvs", []),
        "leases": ask(server, "lease/leases").get("leases", []),
        "users": ask(server, "auth/user/list").get("users", []),
        "roles": ask(server, "auth/role/list").get("roles", []),
        "alarms": ask(server, "maintenance/alarm", action="GET").get("alarms", []),
        "v2": server.etcd.get("visible", api="v2"),
        "v2 hidden": server.etcd.get("_hidden", api="v2"),
        "v2 deep": server.etcd.get("in/a/_hidden/place", api="v2"),
        "v2 users": v2_users,
    }


@pytest.mark.parametrize(
    "spoil",
    [
        write_v3,
        write_v2,
        v2_user,
        add_user,
        add_role,
        enable_auth,
        raise_alarm,
        stop,
        kill,
        crash,
        pause,
    ],
)
def test_whatever_a_test_did_the_next_one_finds_the_server_as_new(
    server: SharedServer, spoil: Callable[[SharedServer], None]
) -> None:
    url = server.emptied().url
    new = state(server)
    spoil(server)
    assert server.emptied() is server.etcd
    assert state(server) == new
    assert server.etcd.url == url
    with Watcher(server.etcd, api="v3") as watcher:
        watcher.add_key("key")
        watcher.put("key", "value")
        watcher.sync()
        assert len(watcher.journal.events()) == 1


def test_a_test_that_wrote_to_v3_alone_costs_no_new_start(server: SharedServer) -> None:
    pid = server.emptied().pid
    write_v3(server)
    assert server.emptied().pid == pid
    assert server.emptied().pid == pid


def test_reading_v2_costs_no_new_start(server: SharedServer) -> None:
    pid = server.emptied().pid
    server.etcd.get("visible", api="v2")
    with Watcher(server.etcd, api="v2") as watcher:
        watcher.add_key("visible")
    assert server.emptied().pid == pid


def test_a_server_without_v2_is_emptied_too(any_version: str) -> None:
    server = SharedServer(v2=False, version=any_version)
    try:
        pid = server.emptied().pid
        write_v3(server)
        assert server.emptied().pid == pid
        assert ask(server, "kv/range", **shared.ALL_KEYS).get("kvs", []) == []
    finally:
        server.etcd.stop()
