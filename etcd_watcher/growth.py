"""How the range that the feed watches grows, when key after key is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from etcd_watcher.keys import KeyRange

__all__ = ["EXACT", "Growth"]

EXACT = 16
"""How often a range grows by no more than what is asked for."""


@dataclass(slots=True)
class Growth:
    """How a range grows while keys are asked for one by one.

    They mostly come in order, each beyond the last one, and at each a server has to be asked for
    another watcher. So after a few times it grows to the prefix that the border has in common with
    the key beyond it: k/0010 behind k/0009 brings all of k/00, then k/0100 all of k/0. 10,000 keys
    grow it two dozen times. Without a common prefix it grows by what is asked for.

    Attributes
    ----------
    times : int
        How often it has grown.
    """

    times: int = 0

    def __call__(self, range_: KeyRange, wanted: KeyRange) -> KeyRange:
        """Give a range that covers both."""
        self.times += 1
        hull = KeyRange.hull([range_, wanted])
        start, end = hull.start, hull.end
        if self.times <= EXACT:
            return hull
        if start < range_.start:
            start = _common(start, range_.start) or start
        if end is not None and range_.end is not None and end > range_.end:
            end = KeyRange.of_prefix(_common(_last_before(range_.end), end)).end or end
        return KeyRange(start, end)


def _last_before(end: bytes) -> bytes:
    """Give the last key, or prefix, of a range that ends there."""
    return end[:-1] if end.endswith(b"\0") else end[:-1] + bytes([end[-1] - 1])


def _common(one: bytes, other: bytes) -> bytes:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return bytes(byte for byte, _ in pairs)
