"""What one run of one way gives."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Measurement"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure.

    Attributes
    ----------
    way : str
        What was measured: ours, or whose.
    figure : float
    unit : str
    note : str
        What a reader must know to judge the figure, such as what was lost.
    """

    way: str
    figure: float
    unit: str
    note: str = ""
