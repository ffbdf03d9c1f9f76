"""One way to follow a prefix, in a process of its own: ours, another client's, or none's.

    python -m benchmarks.ways NAME catch-up URL PREFIX COUNT
    python -m benchmarks.ways NAME live URL PREFIX COUNT

It runs with whatever Python has that client, so it imports nothing but the standard library and,
by name, the one client. It prints "ready" once the watch is open, and at the end a line of JSON.

"catch-up" begins with revision 1 and takes the time from before the client is made until COUNT
events were given to a callback, which notes their revisions. "live" begins now; each value is the
time, in nanoseconds of the machine's steady clock, at which its put was sent.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["WAYS"]

GRPC_BOUND = 1024 * 1024 * 1024
"""The bare stub takes messages of any size."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to follow.

    Attributes
    ----------
    since : int or None
        The revision to begin with; None for what comes from now on.
    opened : callable
        To be called when the watch is open.
    tell : callable
        To be called with the revision and the value of each event; True when all have come.
    """

    url: str
    prefix: str
    since: int | None
    count: int
    opened: Callable[[], None]
    tell: Callable[[int, bytes], bool]

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 2379)


def etcd_watcher(task: Task) -> None:
    """Ours: an iterator for the past, a callback for what comes."""
    watcher = importlib.import_module("etcd_watcher").Watcher(task.url, api="v3")
    with watcher:
        if task.since is not None:
            for event in watcher.events(task.prefix, prefix=True, since=task.since):
                if task.tell(event.revision, event.raw_value):
                    return
        done = threading.Event()

        def callback(event: Any) -> None:
            if task.tell(event.revision, event.raw_value):
                done.set()

        watcher.on(task.prefix, prefix=True)(callback)
        task.opened()
        done.wait()


def stub(task: Task) -> None:
    """Use gRPC's stub with etcd's messages: what any Python client is built on, and the limit."""
    grpc = importlib.import_module("grpc")
    wire = importlib.import_module("etcd_watcher.stores.wire")
    outbox = importlib.import_module("etcd_watcher.stores.v3_outbox")
    keys = importlib.import_module("etcd_watcher.keys")
    scope = keys.KeyRange.of_prefix(task.prefix.encode())
    request = outbox.create(scope, (task.since or 0) - 1, prev_values=False, fragment=False)
    options = [("grpc.max_receive_message_length", GRPC_BOUND), ("grpc.enable_http_proxy", 0)]
    never = threading.Event()

    def requests() -> Iterable[Any]:
        yield request
        never.wait()

    with grpc.insecure_channel(f"{task.host}:{task.port}", options=options) as channel:
        watch = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=wire.WatchResponse.FromString,
        )
        came = 0
        call = watch(requests())
        for response in call:
            if response.created:
                task.opened()
            if task.since is not None:  # decoded, and thrown away
                came += len(response.events)
                if came >= task.count:
                    break
            elif _tell_all(task, response):
                break
        call.cancel()
        never.set()


def _tell_all(task: Task, response: Any) -> bool:
    """Tell of each event of a response, of which another may be the last."""
    done = False
    for each in response.events:
        done = task.tell(each.kv.mod_revision, each.kv.value) or done
    return done


def aetcd(task: Task) -> None:
    async def follow() -> None:
        client = importlib.import_module("aetcd").Client(host=task.host, port=task.port)
        async with client:
            watch = await client.watch_prefix(task.prefix.encode(), start_revision=task.since)
            task.opened()
            async for event in watch:
                if task.tell(event.kv.mod_revision, event.kv.value):
                    return

    asyncio.run(follow())


def etcd3aio(task: Task) -> None:
    async def follow() -> None:
        module = importlib.import_module("etcd3aio")
        end = importlib.import_module("etcd3aio.kv").prefix_range_end(task.prefix)
        async with module.Etcd3Client([f"{task.host}:{task.port}"]) as client:
            responses = client.watch.watch(task.prefix, end, start_revision=task.since or 0)
            async for response in responses:
                if response.created:
                    task.opened()
                if _tell_all(task, response):
                    return

    asyncio.run(follow())


def etcd_client_py(task: Task) -> None:
    async def follow() -> None:
        module = importlib.import_module("etcd_client")
        async with module.Client([task.url]).connect() as client:
            ready = module.CondVar()
            events = client.watch_prefix(task.prefix.encode(), ready_event=ready)

            async def tell_when_open() -> None:
                await ready.wait()
                task.opened()

            opening = asyncio.ensure_future(tell_when_open())
            async for event in events:
                if task.tell(0, bytes(event.value)):  # it does not tell the revision
                    break
            await opening

    asyncio.run(follow())


def _by_iterator(module: str) -> Callable[[Task], None]:
    """Follow with one of the family of python-etcd3, whose clients have the same methods."""

    def follow(task: Task) -> None:
        client = importlib.import_module(module).client(host=task.host, port=task.port)
        since = {} if task.since is None else {"start_revision": task.since}
        events, cancel = client.watch_prefix(task.prefix, **since)
        task.opened()
        for event in events:
            if task.tell(event.mod_revision, event.value):
                break
        cancel()

    return follow


def etcd3gw(task: Task) -> None:
    client = importlib.import_module("etcd3gw").client(
        host=task.host, port=task.port, api_path="/v3/"
    )
    since = {} if task.since is None else {"start_revision": task.since}
    events, cancel = client.watch_prefix(task.prefix, **since)
    task.opened()
    for event in events:
        if task.tell(int(event["kv"]["mod_revision"]), event["kv"]["value"]):
            break
    cancel()


def etcdctl(task: Task) -> None:
    """Count the lines of etcdctl, three an event; its values have none of their own."""
    command = ["etcdctl", f"--endpoints={task.url}", "watch", "--prefix", task.prefix]
    if task.since is not None:
        command.append(f"--rev={task.since}")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        output: Any = process.stdout
        lines = 0
        if task.since is None:
            threading.Timer(1.0, task.opened).start()  # it does not say when it is open
            for number in itertools.count(1):
                line = output.readline()
                if number % 3 == 0 and task.tell(0, line):
                    break
        while task.since is not None and lines < 3 * task.count:
            lines += output.read1(1 << 20).count(b"\n")
        process.kill()


WAYS: dict[str, Callable[[Task], None]] = {
    "etcd_watcher": etcd_watcher,
    "stub": stub,
    "etcdctl": etcdctl,
    "aetcd": aetcd,
    "etcd-sdk-python": _by_iterator("pyetcd"),
    "python-etcd3": _by_iterator("etcd3"),
    "etcd3aio": etcd3aio,
    "etcd3gw": etcd3gw,
    "etcd-client-py": etcd_client_py,
}
"""By name. "python-etcd3" is its fork of this year, the package cslab-etcd3."""


def catch_up(way: str, url: str, prefix: str, count: int) -> dict[str, Any]:
    """Take the time of reading all of the past."""
    revisions: list[int] = []
    note = revisions.append

    def tell(revision: int, _: bytes) -> bool:
        note(revision)
        return len(revisions) == count

    began = time.perf_counter()
    WAYS[way](Task(url, prefix, 1, count, lambda: None, tell))
    seconds = time.perf_counter() - began
    in_order = all(one <= other for one, other in itertools.pairwise(revisions))
    return {"seconds": seconds, "told": len(revisions), "in_order": in_order}


def live(way: str, url: str, prefix: str, count: int) -> dict[str, Any]:
    """Take the time from each put's sending to its callback."""
    came: list[int] = []

    def tell(_: int, value: bytes) -> bool:
        came.append(time.monotonic_ns() - int(value))
        return len(came) == count

    gc.collect()
    WAYS[way](Task(url, prefix, None, count, lambda: print("ready", flush=True), tell))
    return {"told": len(came), "nanoseconds": came}


def main() -> None:
    """Do what the command line asks for."""
    way, what, url, prefix, count = sys.argv[1:]
    measure = {"catch-up": catch_up, "live": live}[what]
    print(json.dumps(measure(way, url, prefix, int(count))), flush=True)


if __name__ == "__main__":
    main()
