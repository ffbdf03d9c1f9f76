"""`LocalCluster`, its members, and what `faults` does to them, on real clusters."""

from __future__ import annotations

import gc
import http.client
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from etcd_watcher import Watcher
from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.local import FaultImpossible, LocalCluster, LocalEtcd, Member, StartFailed
from etcd_watcher.local.ports import free_ports

IsGone = Callable[[int], bool]


ELECTION = 0.5
"""Seconds: these tests wait for many elections."""


@pytest.fixture(scope="module")
def cluster_34() -> Iterator[LocalCluster]:
    with LocalCluster(version="3.4", election_timeout=ELECTION) as made:
        yield made


@pytest.fixture(scope="module")
def cluster_35() -> Iterator[LocalCluster]:
    with LocalCluster(version="3.5", election_timeout=ELECTION) as made:
        yield made


@pytest.fixture
def cluster(cluster_35: LocalCluster) -> Iterator[LocalCluster]:
    """A whole cluster, whatever the test before did to it."""
    yield cluster_35
    cluster_35.faults.heal()


@pytest.fixture
def any_cluster(any_version: str, request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """One of each version, for what depends on the members' own ways."""
    made = request.getfixturevalue({"3.4": "cluster_34", "3.5": "cluster_35"}[any_version])
    assert isinstance(made, LocalCluster)
    yield made
    made.faults.heal()


def ask(member: Member, timeout: float, *, url: str | None = None) -> str:
    """Ask a member as a client does: "answer", "silence" or "reset"."""
    place = urlsplit(url or member.url)
    connection = http.client.HTTPConnection("127.0.0.1", place.port or 0, timeout=timeout)
    try:
        connection.request("GET", "/version")
        connection.getresponse().read()
    except TimeoutError:
        return "silence"
    except OSError:
        return "reset"
    else:
        return "answer"
    finally:
        connection.close()


def test_a_cluster_is_ready_when_it_has_been_made(any_cluster: LocalCluster) -> None:
    assert list(any_cluster.members) == ["m1", "m2", "m3"]
    assert any_cluster.url == any_cluster.endpoints[0]
    for member in any_cluster.members.values():
        assert member.running
        assert ask(member, 5) == "answer"
        assert ask(member, 5, url=member.direct_url) == "answer"
    assert any_cluster.leader in any_cluster.members.values()
    assert len(any_cluster.followers) == 2
    assert any_cluster.leader not in any_cluster.followers


@pytest.mark.slow
@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_replaced_member_gets_a_snapshot_of_a_long_log(any_version: str, role: str) -> None:
    with LocalCluster(version=any_version, snapshot_count=100) as cluster:
        for number in range(5_500):
            cluster.put("nokia", str(number))
        member = cluster.leader if role == "leader" else cluster.followers[0]
        cluster.faults.replace(member)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{member.direct_url}/metrics") as response:
            metrics = response.read().decode()
        assert re.search(r"^etcd_network_snapshot_receive_success\S* 1$", metrics, re.MULTILINE)
        with Watcher(member.url, api="v3") as watcher:
            assert watcher.get("nokia") == "5499"


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_it_reads_and_writes(cluster: LocalCluster, api: str, fresh_key: str) -> None:
    cluster.put(fresh_key, "hello", api=api)
    assert cluster.get(fresh_key, api=api) == "hello"
    assert cluster.delete(fresh_key, api=api) == 1
    assert cluster.get(fresh_key, api=api) is None


def test_a_watcher_takes_all_members(cluster: LocalCluster, fresh_key: str) -> None:
    with Watcher(cluster, api="v3") as watcher:
        assert list(watcher.endpoints) == cluster.endpoints
        watcher.add_key(fresh_key)
        cluster.put(fresh_key, "hello")
        assert watcher.wait_for(fresh_key).value == "hello"


def test_what_it_advertises_are_its_urls(cluster: LocalCluster) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{cluster.url}/v3/cluster/member/list", b"{}") as response:
        members = json.load(response)["members"]
    assert {each["name"]: each["clientURLs"] for each in members} == {
        each.name: [each.url] for each in cluster.members.values()
    }


def test_it_listens_on_loopback_only(cluster: LocalCluster) -> None:
    processes = psutil.Process().children(recursive=True)
    assert {each.pid for each in cluster.members.values()} <= {each.pid for each in processes}
    for process in processes:
        for connection in process.net_connections("inet"):
            assert connection.laddr.ip == "127.0.0.1"


def test_a_killed_leader_is_followed_by_another(any_cluster: LocalCluster, fresh_key: str) -> None:
    any_cluster.put(fresh_key, "before")
    old = any_cluster.leader
    any_cluster.faults.kill(old)
    assert not old.running
    assert ask(old, 5) == "reset"
    assert any_cluster.leader is not old
    assert old not in any_cluster.followers
    any_cluster.put(fresh_key, "after")
    any_cluster.faults.start(old)
    assert ask(old, 5) == "answer"
    assert any_cluster.get(fresh_key) == "after"


def test_a_paused_member_is_silent_until_it_is_resumed(cluster: LocalCluster) -> None:
    member = cluster.followers[0]
    cluster.faults.pause(member.name)
    assert member.paused
    assert ask(member, 0.2) == "silence"
    cluster.faults.resume(member)
    assert ask(member, 5) == "answer"


def test_a_restarted_member_has_another_process_and_the_same_urls(cluster: LocalCluster) -> None:
    member = cluster.followers[0]
    url, peer_url, pid, number = member.url, member.peer_url, member.pid, member.id
    cluster.faults.restart(member)
    assert (member.url, member.peer_url, member.id) == (url, peer_url, number)
    assert member.pid != pid
    assert ask(member, 5) == "answer"


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_replaced_member_is_new_and_has_everything(
    any_cluster: LocalCluster, fresh_key: str, role: str
) -> None:
    any_cluster.put(fresh_key, "hello")
    member = any_cluster.leader if role == "leader" else any_cluster.followers[0]
    url, number = member.url, member.id
    any_cluster.faults.replace(member)
    assert member.url == url
    assert member.id != number
    with Watcher(member.url, api="v3") as watcher:
        assert watcher.get(fresh_key) == "hello"
    any_cluster.faults.isolate(member)  # the proxy knows the new one by its new id
    assert any_cluster.leader is not member
    any_cluster.faults.heal()


def test_a_killed_member_can_be_replaced(cluster: LocalCluster, fresh_key: str) -> None:
    member = cluster.followers[0]
    cluster.faults.kill(member)
    cluster.put(fresh_key, "hello")
    cluster.faults.replace(member)
    with Watcher(member.url, api="v3") as watcher:
        assert watcher.get(fresh_key) == "hello"


def test_a_replacement_that_was_interrupted_is_finished_by_heal(
    any_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    member = any_cluster.followers[0]
    for step in ("remove_member", "add_member"):
        with monkeypatch.context() as patch:
            patch.setattr(f"etcd_watcher.local.ensemble.{step}", interrupt)
            with pytest.raises(KeyboardInterrupt):
                any_cluster.faults.replace(member)
        any_cluster.put(fresh_key, step)
        any_cluster.faults.heal()
        with Watcher(member.url, api="v3") as watcher:
            assert watcher.get(fresh_key) == step


def test_a_cut_client_link_is_silent_and_then_gives_everything(cluster: LocalCluster) -> None:
    member = cluster.members["m2"]
    place = urlsplit(member.url)
    with socket.create_connection(("127.0.0.1", place.port or 0), timeout=10) as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: m2\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        cluster.faults.cut("client", member)
        assert ask(member, 0.2) == "silence"
        assert ask(member, 5, url=member.direct_url) == "answer"
        assert ask(cluster.members["m1"], 5) == "answer"
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: m2\r\n\r\n")
        cluster.faults.mend("client", member)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_reset_client_link_closes_what_there_is_and_what_comes(cluster: LocalCluster) -> None:
    member = cluster.members["m2"]
    with socket.create_connection(("127.0.0.1", urlsplit(member.url).port or 0), timeout=10) as own:
        own.sendall(b"GET /version HTTP/1.1\r\nHost: m2\r\n\r\n")
        assert own.recv(4096)
        cluster.faults.reset(member, "client")
        with pytest.raises(ConnectionResetError):
            own.recv(4096)
    assert ask(member, 5) == "reset"
    cluster.faults.mend(member)
    assert ask(member, 5) == "answer"


@pytest.mark.parametrize("cut", ["isolate", "one way", "reset"])
def test_a_leader_that_is_cut_off_is_followed_by_another(
    any_cluster: LocalCluster, fresh_key: str, cut: str
) -> None:
    old = any_cluster.leader
    others = any_cluster.followers
    if cut == "isolate":
        any_cluster.faults.isolate(old)
    for other in others:
        if cut == "one way":  # its heartbeats get lost; what they say to it arrives
            any_cluster.faults.cut(old, other, one_way=True)
        elif cut == "reset":
            any_cluster.faults.reset(other, old)
    assert any_cluster.leader is not old
    any_cluster.put(fresh_key, "after")
    assert ask(old, 5) == "answer"  # only its peers are cut off
    any_cluster.faults.heal()
    with Watcher(old.url, api="v3") as watcher:
        assert watcher.get(fresh_key) == "after"


def test_a_cut_between_two_followers_leaves_all_in_touch_with_the_leader(
    any_cluster: LocalCluster, fresh_key: str
) -> None:
    one, other = any_cluster.followers
    any_cluster.faults.cut(one, other)
    any_cluster.put(fresh_key, "hello")
    for member in (one, other):
        with Watcher(member.url, api="v3") as watcher:
            assert watcher.get(fresh_key) == "hello"


def test_slow_links_between_members_delay_a_write(cluster: LocalCluster, fresh_key: str) -> None:
    leader = cluster.leader
    for other in cluster.followers:
        cluster.faults.delay(leader, other, 60)
    ends: list[str] = []

    def write() -> None:
        with Watcher(leader.url, api="v3", request_timeout=60) as watcher:
            try:
                watcher.put(fresh_key, "late")
                ends.append("done")
            except ConnectionFailed as error:
                # The others may have elected one of them meanwhile: then the write is lost, or
                # nobody knows. It is no answer of another kind, and says so.
                ends.append(str(error))

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.3)
    assert ends == []
    cluster.faults.heal()
    writer.join()
    (end,) = ends
    assert end == "done" or f"{fresh_key!r} was to be written: it may have done so, or not" in end
    assert cluster.get(fresh_key) == "late" or end != "done"
    cluster.put(fresh_key, "in time")


def test_too_few_members_have_no_leader_and_heal_brings_it_back(cluster: LocalCluster) -> None:
    cluster.faults.kill("m1")
    cluster.faults.pause("m2")
    with pytest.raises(ConnectionFailed, match="no leader: 1 of 3 members run, 2 are needed"):
        cluster.put("nokia", "hello")
    cluster.faults.restart("m3")  # returns, though the member cannot serve
    cluster.faults.heal()
    cluster.put("nokia", "hello")
    assert repr(cluster) == "LocalCluster(m1 running, m2 running, m3 running)"


def test_a_start_does_not_wait_for_a_majority_that_is_not_there(cluster: LocalCluster) -> None:
    for name in cluster.members:
        cluster.faults.kill(name)
    assert repr(cluster) == "LocalCluster(m1 stopped, m2 stopped, m3 stopped)"
    cluster.faults.start("m1")
    cluster.faults.start("m2")
    cluster.wait_ready()
    assert ask(cluster.members["m2"], 5) == "answer"


def test_a_compacted_history_is_gone(any_cluster: LocalCluster, fresh_key: str) -> None:
    for number in range(5):
        any_cluster.put(fresh_key, str(number))
    newest = any_cluster.revision
    assert any_cluster.compact() == newest
    with pytest.raises(RequestRejected, match="compacted"):
        any_cluster.compact(newest - 1)
    with pytest.raises(RequestRejected, match="future"):
        any_cluster.compact(newest + 100)
    assert any_cluster.get(fresh_key) == "4"


def test_a_local_etcd_can_be_compacted_too(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        assert etcd.revision == 1
        etcd.put("nokia", "1")
        etcd.put("nokia", "2")
        assert etcd.compact(2) == 2
        assert etcd.compact() == etcd.revision == 3
        with pytest.raises(RequestRejected, match="compacted"):
            etcd.compact(2)
        etcd.kill()
        with pytest.raises(ConnectionFailed, match="is stopped"):
            etcd.compact()


def test_what_cannot_be_done_says_why(cluster: LocalCluster) -> None:
    faults = cluster.faults
    with pytest.raises(FaultImpossible, match="m1 is not paused"):
        faults.resume("m1")
    with pytest.raises(FaultImpossible, match=r"m1 runs already: restart\(\) it"):
        faults.start("m1")
    faults.pause("m1")
    with pytest.raises(FaultImpossible, match=r"m1 is paused already: resume\(\) it"):
        faults.pause("m1")
    faults.kill("m1")
    for fault in (faults.kill, faults.pause, faults.resume):
        with pytest.raises(FaultImpossible, match=r"m1 does not run: start\(\) it"):
            fault("m1")
    with pytest.raises(FaultImpossible, match="m2 cannot be replaced unless all others run"):
        faults.replace("m2")
    faults.start("m1")
    faults.isolate("m1")
    with pytest.raises(FaultImpossible, match=r"m2 cannot be replaced: without it 1 .* takes 2"):
        faults.replace("m2")
    assert cluster.members["m2"].running
    faults.replace("m1")  # the others are a majority


def test_a_member_or_link_that_is_not_there_is_told(cluster: LocalCluster) -> None:
    faults = cluster.faults
    with pytest.raises(ValueError, match="'m4' is no member of this cluster: it has m1, m2, m3"):
        faults.kill("m4")
    with pytest.raises(ValueError, match="'clients' is no member"):
        faults.cut("m1", "clients")
    with pytest.raises(ValueError, match="is no member"):
        faults.pause("client")
    with pytest.raises(ValueError, match="two ends, not 'm1' twice"):
        faults.cut("m1", cluster.members["m1"])
    for seconds in (-1, float("inf"), float("nan"), "x", None, True):
        with pytest.raises(ValueError, match="seconds is a time from 0 up"):
            faults.delay("m1", "m2", seconds)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'v4'"):
        cluster.get("nokia", api="v4")


def test_a_member_of_another_cluster_is_refused(cluster: LocalCluster) -> None:
    with LocalCluster(1) as other, pytest.raises(ValueError, match="is no member of this cluster"):
        other.faults.kill(cluster.members["m1"])


@pytest.mark.parametrize("size", [0, -1, 10, 2.5, "3"])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size is a number of members, 1 to 9"):
        LocalCluster(size)


@pytest.mark.usefixtures("no_leaks")
def test_stopping_leaves_nothing(temp_dir: Path, any_version: str, is_gone: IsGone) -> None:
    cluster = LocalCluster(version=any_version)
    pids = [each.pid for each in psutil.Process().children(recursive=True)]
    assert len(pids) >= 5  # three members, their guardian and their network
    cluster.faults.pause(cluster.leader)
    cluster.faults.isolate("m2", clients=True)
    cluster.stop()
    assert all(is_gone(member.pid) for member in cluster.members.values() if member.pid)
    assert list(temp_dir.iterdir()) == []
    assert repr(cluster) == "LocalCluster(m1 stopped, m2 stopped, m3 stopped)"
    cluster.stop()
    for use in (cluster.put, cluster.faults.cut):
        with pytest.raises(ConnectionFailed, match=r"is stopped: make a new LocalCluster\(\)"):
            use("m1", "m2")


@pytest.mark.usefixtures("no_leaks")
def test_the_last_reference_takes_the_cluster_along(temp_dir: Path) -> None:
    cluster = LocalCluster(1)
    faults = cluster.faults
    del cluster
    gc.collect()
    assert list(temp_dir.iterdir()) == []
    with pytest.raises(ConnectionFailed, match="is stopped"):
        faults.kill("m1")


@pytest.mark.usefixtures("no_leaks")
def test_a_cluster_that_cannot_start_is_told_with_its_last_words(
    temp_dir: Path, tmp_path: Path
) -> None:
    program = tmp_path / "etcd"
    program.write_text(
        "#!/bin/sh\ncase $1 in --version) echo 'etcd Version: 3.5.1'; exit;; esac\n"
        "echo 'disk is on fire' >&2; exit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(StartFailed, match=r"(?s)ended.*disk is on fire"):
        LocalCluster(binary=program)
    assert list(temp_dir.iterdir()) == []


@pytest.mark.usefixtures("no_leaks")
def test_ports_that_others_take_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.create_server(("", 0)) as another:
        taken, lost = busy.getsockname()[1], another.getsockname()[1]
        draws = [(taken, *free_ports(1)), free_ports(2), (*free_ports(1), lost)]
        monkeypatch.setattr(
            "etcd_watcher.local.member.free_ports",
            lambda count: draws.pop(0) if draws else free_ports(count),
        )
        with LocalCluster() as cluster:
            assert draws == []
            cluster.put("nokia", "hello")


def test_members_outlive_the_thread_that_made_them() -> None:
    made: list[LocalCluster] = []
    thread = threading.Thread(target=lambda: made.append(LocalCluster(1)))
    thread.start()
    thread.join()
    with made[0] as cluster:
        cluster.put("nokia", "hello")
        assert cluster.leader.name == "m1"


@pytest.mark.usefixtures("no_leaks")
def test_four_that_start_at_once_do_not_meet() -> None:
    made: list[LocalCluster] = []
    threads = [threading.Thread(target=lambda: made.append(LocalCluster())) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({url for cluster in made for url in cluster.endpoints}) == 12
        for number, cluster in enumerate(made):
            cluster.put("nokia", str(number))
        assert [cluster.get("nokia") for cluster in made] == ["0", "1", "2", "3"]
    finally:
        for cluster in made:
            cluster.stop()


def test_an_election_that_cannot_time_out_is_refused() -> None:
    with pytest.raises(ValueError, match="election_timeout=-1"):
        LocalCluster(3, election_timeout=-1)
