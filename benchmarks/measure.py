"""What one run of one way gives, and how much of everything is wanted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Measurement", "Size"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure of one round.

    Attributes
    ----------
    work : str
        What had to be done, with its size, such as "100,000 puts".
    way : str
        What did it: ours, or whose.
    figure : float
    unit : str
        Such as "events/s", for which more is better, or "ms", for which less is.
    note : str
        What a reader must know to judge the figure, such as what was lost.
    """

    work: str
    way: str
    figure: float
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is wanted.

    Attributes
    ----------
    rounds : int
        How often each way is measured; the ways take turns.
    scale : float
        The part of the usual work that is done: 1 for a result, 0.001 to see that it runs.
    """

    rounds: int = 3
    scale: float = 1.0

    def of(self, count: int, least: int = 1) -> int:
        """Give the part of a count."""
        return max(least, round(count * self.scale))
