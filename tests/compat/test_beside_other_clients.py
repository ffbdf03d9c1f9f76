"""In one process with other etcd clients, and with each protobuf that we say we run on.

These tests need little beside the package (no notebook, no browser), so that they run in an
environment for each major version of protobuf. Each starts a Python of its own: what is imported
first, and that it is imported at all, is the point.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

USE_OURS = """
from etcd_watcher import LocalEtcd, Watcher

with LocalEtcd() as server, Watcher(server.url, api="v3") as watcher:
    seen = []
    watcher.on("key")(lambda event: seen.append(event.value))
    watcher.put("key", "one")
    watcher.sync()
    assert seen == ["one"], seen
"""

STUBS = """
# What a module that protoc generated from etcd's own files does when it is imported.
from google.protobuf import descriptor_pb2, descriptor_pool

pool = descriptor_pool.Default()
kv = descriptor_pb2.FileDescriptorProto(name="kv.proto", package="mvccpb", syntax="proto3")
for name in ("KeyValue", "Event"):
    kv.message_type.add(name=name)
rpc = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="etcdserverpb", syntax="proto3")
rpc.dependency.append("kv.proto")
for name in ("RangeRequest", "WatchRequest", "WatchResponse"):
    rpc.message_type.add(name=name)
for file in (kv, rpc):
    pool.AddSerializedFile(file.SerializeToString())
"""

AETCD = """
import asyncio
import aetcd

async def use(url):
    host, port = url.removeprefix("http://").split(":")
    async with aetcd.Client(host=host, port=int(port)) as client:
        await client.put(b"key", b"value")
        return (await client.get(b"key")).value
"""

USE_AETCD = """
with LocalEtcd() as server:
    assert asyncio.run(use(server.url)) == b"value"
"""


def run(*parts: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:etcd_watcher", "-c", "\n".join(parts)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_alone() -> None:
    run(USE_OURS)


@pytest.mark.parametrize("ours_first", [False, True])
def test_beside_stubs_of_etcds_own_files(*, ours_first: bool) -> None:
    run(*((USE_OURS, STUBS, USE_OURS) if ours_first else (STUBS, USE_OURS)))


@pytest.mark.parametrize("ours_first", [False, True])
def test_beside_aetcd(*, ours_first: bool) -> None:
    if importlib.util.find_spec("aetcd") is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs aetcd")
        pytest.skip("aetcd is not installed")
    run(*((USE_OURS, AETCD, USE_AETCD) if ours_first else (AETCD, USE_OURS, USE_AETCD)))
