"""One episode: a cluster of its own, those who write, those who listen, and what is done to it."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial

from etcd_watcher import Watcher
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.local import LocalCluster, Member
from etcd_watcher.testing import History, Write
from tests.robustness.access import ANYBODY, LOCKS, READER, Access, keys_for, lock_for
from tests.robustness.adversary import Adversary
from tests.robustness.audience import PATIENCE, Audience
from tests.robustness.gateway import Refused, Unanswered, Voice, wired
from tests.robustness.judge import Findings, judge
from tests.robustness.recorders import Recorder, V2Recorder, V3Recorder
from tests.robustness.truth import Truth
from tests.robustness.writers import APART, FOREIGN, HOT, V2Writer, V3Writer, Writer

__all__ = ["Episode", "Outcome", "Plan"]

V2_HISTORY = 1000
"""Changes that a v2 server remembers."""

OVERRUN, OVERRUNNERS = 200, 8
"""Changes of a flood at a time, before the recorders are waited for, and threads that make it."""

V2_LOGINS = 25
"""How many times slower v2 is written where there are users: at each request of a watcher, and there
is one for each change, the server takes 50 ms to check the password."""

ASK_AGAIN = 0.1


@dataclass(frozen=True)
class Plan:
    """What makes an episode.

    Attributes
    ----------
    seed : int
        What all of it draws from.
    seconds : float
        For how long the cluster is hurt.
    version : str
        Of etcd.
    size : int
        Members.
    pace : float
        Seconds between two writes of one writer, on average.
    lock : {"open", "tls", "certificates", "users"}
        How one gets in.
    token_ttl : float or None
        Seconds for which a user's login lasts; None for etcd's own kind of token, which lasts.
    apart : bool
        Whether keys in two places are watched, with others between them.
    """

    seed: int
    seconds: float
    version: str = "3.4"
    size: int = 3
    pace: float = 0.03
    lock: str = "open"
    token_ttl: float | None = None
    apart: bool = False

    @classmethod
    def draw(cls, seed: int, seconds: float) -> Plan:
        """Choose what kind of cluster it is."""
        choice = random.Random(seed)  # noqa: S311 - no secret
        version = choice.choice(["3.4", "3.4", "3.5"])
        # A single 3.5.1 that is killed may lose what it acknowledged (etcd-io/etcd#14370).
        size = choice.choice([3, 3, 3, 1])
        return cls(
            seed,
            seconds,
            version,
            size,
            lock=choice.choice(["open", "open", *LOCKS, "users"]),
            token_ttl=choice.choice([1, 2, None]),
            apart=choice.random() < 0.5,
        )

    @property
    def may_kill(self) -> bool:
        return self.version == "3.4"


@dataclass
class Outcome:
    """What came of an episode."""

    plan: Plan
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Findings] = field(default_factory=dict)
    """By API."""
    broken_truth: list[str] = field(default_factory=list)
    """Why the truth is not known: nobody can be judged then."""
    log: list[tuple[float, str]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    audiences: list[Audience] = field(default_factory=list)
    histories: dict[str, History] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be."""
        return self.broken_truth + [each for one in self.findings.values() for each in one.faults]


class Episode:
    """Runs a plan.

    Examples
    --------
    >>> outcome = Episode(Plan(seed=1, seconds=30)).run()
    >>> outcome.problems
    []
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seed = str(plan.seed)
        self._cluster: LocalCluster
        self._access = ANYBODY
        self._password = secrets.token_urlsafe(12) if plan.lock == "users" else None
        """The reader's."""
        self._asking = threading.Lock()
        self._voices: dict[str, Voice] = {}
        self._truths: dict[str, Truth] = {}
        self._recorders: dict[str, list[Recorder]] = {"v2": [], "v3": []}
        self._writers: dict[str, list[Writer]] = {"v2": [], "v3": []}
        self._audiences: list[Audience] = []

    def run(self) -> Outcome:
        """Hurt, heal, wait until everybody should know everything, and judge."""
        outcome = Outcome(self._plan)
        began = time.monotonic()
        with ExitStack() as stack:
            self._begin_cluster(stack)
            for api in ("v3", "v2"):
                self._voices[api] = Voice(2.0, self._access)
                stack.callback(self._voices[api].close)
                self._begin_to_record(api, stack)
            for audience in self._audience(stack):
                self._audiences.append(audience)
            for writer in [each for api in self._writers for each in self._writers[api]]:
                writer.start()
            adversary = Adversary(
                self._cluster,
                self._truths["v3"],
                self._seed,
                may_kill=self._plan.may_kill,
                overrun=self._overrun_v2,
                password=self._password,
            )
            try:
                adversary.play(self._plan.seconds)
            finally:
                for writer in [each for api in self._writers for each in self._writers[api]]:
                    writer.close()
            outcome.faults, outcome.log = adversary.done, adversary.log
            outcome.outages = adversary.outages
            for audience in self._audiences:
                audience.come_back()
            lasts = {api: self._end_of(api) for api in ("v3", "v2")}
            for audience in self._audiences:
                audience.finish(lasts[audience.watcher.api])
            for recorder in [*self._recorders["v3"], *self._recorders["v2"]]:
                recorder.close()
        self._judge(lasts, outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _begin_cluster(self, stack: ExitStack) -> None:
        plan = self._plan
        self._cluster = stack.enter_context(
            LocalCluster(plan.size, version=plan.version, **lock_for(plan.lock, plan.token_ttl))
        )
        self._access = Access.to(self._cluster)
        if self._password is not None:
            self._cluster.users.add(READER, self._password, read=["k/", "z/"])

    # The truth.

    def _begin_to_record(self, api: str, stack: ExitStack) -> None:
        first = self.newest(api) + 1
        truth = self._truths[api] = Truth(first, contiguous=api == "v3")
        kind = {"v3": V3Recorder, "v2": V2Recorder}[api]
        for name, member in self._cluster.members.items():
            recorder = kind(
                f"{api}-{name}", partial(_direct_url, member), truth, first, self._access
            )
            recorder.start()
            stack.callback(recorder.close)
            self._recorders[api].append(recorder)
        writer: Callable[..., Writer] = {"v3": V3Writer, "v2": V2Writer}[api]
        pace = self._plan.pace * (1 if api == "v3" else 2 if self._password is None else V2_LOGINS)
        shared = [*HOT, *(APART if self._plan.apart and api == "v3" else [])]
        self._writers[api] = [
            writer(f"{api}-w{number}", self._seed, self._urls, pace, self._access, shared)
            for number in range(3 if api == "v3" else 2)
        ]

    def _urls(self) -> Sequence[str]:
        return [each.direct_url for each in self._cluster.members.values() if each.running] or [
            each.direct_url for each in self._cluster.members.values()
        ]

    def newest(self, api: str) -> int:
        """Give the newest committed revision, however long it takes until somebody answers."""
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            for url in self._urls():
                try:
                    with self._asking:
                        return self._ask_newest(api, url)
                except Unanswered:
                    if time.monotonic() > deadline:
                        raise
            threading.Event().wait(ASK_AGAIN)

    def _ask_newest(self, api: str, url: str) -> int:
        if api == "v3":
            fields = {"key": wired(b"\0"), "count_only": True}
            return int(self._voices[api].v3(url, "kv/range", fields)["header"]["revision"])
        with suppress(Refused):  # there is no such key, and the answer has the index
            self._voices[api].v2(url, "GET", "/nothing", {"quorum": "true"})
        return self._voices[api].index

    def _overrun_v2(self) -> None:
        """Write more than v2 remembers, no faster than the recorders can follow."""
        with suppress(ConnectionFailed), ThreadPoolExecutor(OVERRUNNERS) as pool:
            url = self._cluster.leader.direct_url
            for _ in range(V2_HISTORY // OVERRUN + 1):
                index = max(pool.map(partial(_overrun, url, self._access), range(OVERRUNNERS)))
                self._wait_for_recorders(index - 300)

    def _wait_for_recorders(self, index: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while max(each.next for each in self._recorders["v2"]) < index:
            if time.monotonic() > deadline:
                return
            threading.Event().wait(0.005)

    # Those who listen.

    def _audience(self, stack: ExitStack) -> list[Audience]:
        urls = self._cluster.endpoints
        made = []
        for name, api, journal, begin, password in (
            ("large", "v3", 1_000_000, 0, self._password),
            ("small", "v3", 300, 1, self._password if self._plan.token_ttl else None),
            ("old", "v2", 1_000_000, 0, self._password),
        ):
            endpoints = [*urls[begin:], *urls[:begin]]
            keys = keys_for(self._cluster, self._plan.lock, password=password)
            watcher = stack.enter_context(
                Watcher(endpoints, api=api, journal_events=journal, **keys)
            )
            audience = Audience(
                f"{api}-{name}",
                watcher,
                self._truths[api],
                partial(self.newest, api),
                self._seed,
                parts=[b"k/", b"z/"] if password is not None and api == "v3" else [],
            )
            made.append(audience)
            all_ours = ["k/", "z/"] if self._plan.apart and api == "v3" else ["k/"]
            audience.on("quick", all_ours, prefix=True).quick = True
            audience.on("slow", all_ours, prefix=True, delay=0.05)
            audience.on("exact", [*HOT[:2], *APART[: len(all_ours) - 1]], prefix=False)
            audience.on("below", ["k/hot/"], prefix=True, delay=0.002)
            audience.pull("pull-now", HOT, prefix=False, since=None)
            if api == "v3":
                audience.pull("pull-since", all_ours, prefix=True, since=2)
            audience.come_and_go(all_ours, prefix=True)
        return made

    # The end.

    def _end_of(self, api: str) -> int:
        """Write a last time where everybody looks, and wait until the recorders have it."""
        truth = self._truths[api]
        write = self._last_write(api)
        last = self.newest(api)
        if api == "v3":
            truth.wait(last, PATIENCE)
        else:
            self._wait_for_recorders(write.revision + 1)
            truth.covered(last)
        return last

    def _last_write(self, api: str) -> Write:
        writer = self._writers[api][0]
        voice = Voice(5.0, self._access)
        with closing(voice):
            writer.voice = voice
            while True:
                try:
                    for key in HOT:
                        write = writer.final(self._cluster.leader.direct_url, key)
                        writer.note(write)
                except (Unanswered, ConnectionFailed):
                    continue
                return write

    def _judge(self, lasts: dict[str, int], outcome: Outcome) -> None:
        outcome.audiences = self._audiences
        for api, truth in self._truths.items():
            findings = outcome.findings[api] = Findings()
            writers = self._writers[api]
            writes = [write for each in writers for write in each.writes]
            findings.writes = len(writes)
            findings.unanswered = sum(each.unknown for each in writers)
            faults = truth.faults(lasts[api], writes)
            if api == "v2":
                faults += _unseen(self._recorders["v2"])
            outcome.broken_truth += [f"{api}: {each}" for each in faults]
            if faults:
                continue
            outcome.histories[api] = truth.history(lasts[api])
            for audience in self._audiences:
                if audience.watcher.api == api:
                    history = truth.history(lasts[api], audience.parts)
                    findings.add(judge(audience, truth, history, outcome.outages))


def _overrun(url: str, access: Access, _: int) -> int:
    """Write some of a flood, and give the newest index."""
    with closing(Voice(2.0, access)) as voice, suppress(Unanswered, Refused):
        for _ in range(OVERRUN // OVERRUNNERS):
            voice.v2(url, "PUT", f"/{FOREIGN}flood", {"value": "1"})
        return voice.index
    return 0


def _direct_url(member: Member) -> str:
    return member.direct_url


def _unseen(recorders: Sequence[Recorder]) -> list[str]:
    """Say what no recorder saw."""
    lost = [set(range(first, last + 1)) for each in recorders for first, last in each.lost]
    if len([each for each in recorders if each.lost]) < len(recorders):
        return []
    unseen = set.intersection(
        *(set().union(*(range(first, last + 1) for first, last in each.lost)) for each in recorders)
    )
    return [f"no recorder saw indices {min(unseen)} to {max(unseen)}"] if unseen and lost else []
