"""How long nothing is heard when a member goes, beside what the cluster itself needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from etcd_watcher import Event, Watcher
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalCluster, Member
from etcd_watcher.testing import History, check
from tests.robustness.flood import Acknowledged, Flood
from tests.robustness.gateway import Voice, wired
from tests.robustness.recorders import V3Recorder
from tests.robustness.truth import Truth

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PREFIX = KeyRange.of_prefix(b"k/")


class Heard:
    """Notes what came and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, Event]] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.told.append((time.monotonic(), event))
            self._changed.notify_all()

    def wait_past(self, moment: float, timeout: float) -> float:
        """Wait for the first event after a moment, and give how long after it came."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.told and self.told[-1][0] > moment, timeout)
            return min(when for when, _ in self.told if when > moment) - moment


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    # 3.5.1 may lose its data's consistency when it is killed (etcd-io/etcd#13766).
    with LocalCluster(version="3.4") as made:
        yield made


@pytest.fixture
def truth(cluster: LocalCluster) -> Iterator[Truth]:
    found = Truth(2, contiguous=True)
    with ExitStack() as stack:
        for name, member in cluster.members.items():
            recorder = V3Recorder(name, lambda member=member: member.direct_url, found, 2)  # type: ignore[misc]
            recorder.start()
            stack.callback(recorder.close)
        yield found


def ours(cluster: LocalCluster, watcher: Watcher) -> Member:
    """Give the member that a watcher is connected to."""
    return next(each for each in cluster.members.values() if each.url == watcher.status.endpoint)


def newest(cluster: LocalCluster) -> int:
    voice = Voice(5.0)
    fields = {"key": wired(b"\0"), "count_only": True}
    revision = int(voice.v3(cluster.leader.direct_url, "kv/range", fields)["header"]["revision"])
    voice.close()
    return revision


def test_after_the_leader_is_killed_under_1000_writes_a_second_all_is_heard_soon(
    cluster: LocalCluster, truth: Truth
) -> None:
    """The watcher is connected to the leader, so that it has to find another member itself."""
    heard = Heard()
    leader = cluster.leader
    others = [each.url for each in cluster.members.values() if each is not leader]
    direct = [each.direct_url for each in cluster.members.values() if each is not leader]
    with Watcher([leader.url, *others], api="v3") as watcher:
        watcher.on("k/", prefix=True)(heard)
        assert ours(cluster, watcher) is leader
        with Flood(direct, rate=1000, seconds=20) as flood:
            heard.wait_past(time.monotonic() + 5, 60)
            killed = time.monotonic()
            cluster.faults.kill(leader)
            acknowledged = flood.join()
        watcher.sync(timeout=60)
        assert watcher.status.endpoint != leader.url
        last = newest(cluster)
    assert truth.wait(last, 60)
    history = truth.history(last)
    assert truth.faults(last, ()) == []
    told = [event for _, event in heard.told]
    assert check(told, history, scope=PREFIX, since=2, until=last) == []
    assert {each.revision for each in acknowledged} <= {each.revision for each in told}
    election, silence = election_and_silence(acknowledged, heard, killed)
    rate = sum(each.answered < killed for each in acknowledged) / (
        killed - acknowledged[0].answered
    )
    print(  # noqa: T201 - the figures for docs/robustness.md
        f"\n{rate:.0f} writes/s acknowledged before; without a leader for {election:.2f} s; longest "
        f"silence {silence:.2f} s; {len(told):,} events, {len(history):,} committed"
    )
    assert silence <= election + 1


def election_and_silence(
    acknowledged: list[Acknowledged], heard: Heard, killed: float
) -> tuple[float, float]:
    """Give how long the cluster took no writes, and how long one that it took was not heard of."""
    before = max(each.answered for each in acknowledged if each.answered <= killed)
    after = min(
        each.answered for each in acknowledged if each.answered > killed and each.sent > killed
    )
    when = {event.revision: moment for moment, event in heard.told}
    silence = max(when[each.revision] - each.answered for each in acknowledged)
    return after - before, silence


@pytest.mark.parametrize("api", ["v2", "v3"])
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_ten_seconds_after_our_member_is_paused_we_hear_again(
    cluster: LocalCluster, which: str, api: str
) -> None:
    heard = Heard()
    member = cluster.leader if which == "leader" else cluster.followers[0]
    others = [each.url for each in cluster.members.values() if each is not member]
    written = threading.Event()

    def write() -> None:
        number = 0
        while not written.wait(0.05):
            number += 1
            cluster.put("k/a", str(number), api=api)

    with Watcher([member.url, *others], api=api) as watcher:
        watcher.on("k/", prefix=True)(heard)
        assert ours(cluster, watcher) is member
        cluster.faults.pause(member)
        paused = time.monotonic()
        writer = threading.Thread(target=write)
        writer.start()
        try:
            silence = heard.wait_past(paused, 60)
            assert watcher.status.endpoint != member.url
        finally:
            written.set()
            writer.join()
        print(f"\n{api}, {which}: heard again after {silence:.2f} s")  # noqa: T201 - as above
        assert silence < 10


def test_compaction_while_we_are_away_is_one_exact_gap_then_the_truth_and_live_again(
    cluster: LocalCluster, truth: Truth
) -> None:
    heard = Heard()
    with Watcher(cluster.endpoints, api="v3") as watcher:
        watcher.on("k/", prefix=True)(heard)
        for number in range(20):
            cluster.put(f"k/{number}", "before")
        watcher.sync()
        position = watcher.revision
        for member in cluster.members:
            cluster.faults.reset("client", member)
        for number in range(30):
            cluster.put(f"k/{number % 10}", f"away {number}")
        for number in range(15, 20):
            cluster.delete(f"k/{number}")
        cluster.put("k/new", "came and went")
        cluster.delete("k/new")
        compacted = cluster.compact()
        cluster.put("k/0", "behind the compaction")
        cluster.faults.mend("client")
        cluster.put("k/1", "live again")
        watcher.wait_for("k/1", lambda event: event.value == "live again", timeout=30)
        watcher.sync()
        last = newest(cluster)
        gaps = [each for each in watcher.journal if type(each).__name__ == "Gap"]
        assert [(each.first, each.last) for each in gaps] == [(position + 1, compacted - 1)]  # type: ignore[union-attr]
        believed: dict[str, str] = {}
        for event in watcher.journal.events():
            if event.value is None:
                believed.pop(event.key)
            else:
                believed[event.key] = event.value
        keyspace = {f"k/{number}": cluster.get(f"k/{number}") for number in range(20)}
        assert believed == {key: value for key, value in keyspace.items() if value is not None}
        assert len(believed) == 15
        journal = [each for each in watcher.journal if type(each).__name__ != "Status"]
    assert truth.wait(last, 30)
    truth.compactions.add(compacted)
    history: History = truth.history(last)
    assert check(journal, history, scope=PREFIX, since=2, until=last) == []
    told = [event for _, event in heard.told]
    assert check(told, history, scope=PREFIX, since=2, until=last, gaps=gaps) == []  # type: ignore[arg-type]
