"""`UnseenKernels`: whose page is gone goes, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

from etcd_watcher.cli.unseen import PATIENCE, UnseenKernels


class Kernels:
    """As of a Jupyter server."""

    def __init__(self, **connections: int) -> None:
        self.connections = connections

    def list_kernels(self) -> list[dict[str, Any]]:
        return [{"id": name, "connections": number} for name, number in self.connections.items()]

    async def shutdown_kernel(self, kernel_id: str) -> None:
        del self.connections[kernel_id]


def test_a_kernel_without_a_page_ends_after_a_while_and_one_whose_page_comes_back_stays() -> None:
    kernels = Kernels(seen=1, left=0, reloaded=0)
    now = 1000.0
    unseen = UnseenKernels(kernels, clock=lambda: now)

    def look() -> list[str]:
        asyncio.run(unseen.look())
        return list(kernels.connections)

    assert look() == ["seen", "left", "reloaded"]
    now += PATIENCE - 1
    kernels.connections["reloaded"] = 1
    assert look() == ["seen", "left", "reloaded"]
    kernels.connections["reloaded"] = 0
    now += 1
    assert look() == ["seen", "reloaded"], "its time begins anew"
    now += PATIENCE
    assert look() == ["seen"]
