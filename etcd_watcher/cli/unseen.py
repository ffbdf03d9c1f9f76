"""A page's kernel ends when the page has not been there for a while.

A page tells its server that it is closed; a browser that crashed does not. Jupyter's own culling
would not do: what a widget draws counts as activity, so a kernel that watches a busy key would live
for as long as its server.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

__all__ = ["LOOK_EVERY", "UnseenKernels"]

LOOK_EVERY = 15.0
"""Seconds from one look to the next."""

PATIENCE = 180.0
"""Seconds for which a kernel is kept that no page is connected to: one may be loading, or cut off."""


class Kernels(Protocol):
    """The kernels of a Jupyter server."""

    def list_kernels(self) -> list[dict[str, Any]]:
        """Give each one's "id", and how many "connections" pages have to it."""
        ...

    def shutdown_kernel(self, kernel_id: str) -> Awaitable[None]:
        """End one."""
        ...


class UnseenKernels:
    """Ends the kernels that no page has been connected to for a while."""

    def __init__(self, kernels: Kernels, clock: Callable[[], float] = time.monotonic) -> None:
        self._kernels = kernels
        self._clock = clock
        self._since: dict[str, float] = {}
        """When each was first seen without a page."""

    async def look(self) -> None:
        """Look at all of them, and end those whose time is up."""
        now = self._clock()
        alone = [each["id"] for each in self._kernels.list_kernels() if not each["connections"]]
        self._since = {each: self._since.get(each, now) for each in alone}
        for each, since in self._since.items():
            if now - since >= PATIENCE:
                await self._kernels.shutdown_kernel(each)
