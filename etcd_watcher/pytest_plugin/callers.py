"""Where a failed test went wrong: the line that called us, not how we found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from etcd_watcher.blame import up_to_our_caller, without_causes_of_ours

__all__ = ["ending_with_the_caller"]


@contextmanager
def ending_with_the_caller(found: pytest.ExceptionInfo[BaseException]) -> Iterator[None]:
    """Have pytest report an error, within, without what lies in this package and below it."""
    whole = found.traceback
    # Of steps: pytest goes from each to the next by itself, so a shorter list of them is not enough.
    shown = type(whole)(up_to_our_caller(found.tb))
    caller = str(shown[-1].frame.f_globals.get("__name__"))
    if caller.split(".", maxsplit=1)[0] == "_pytest":  # a fixture of ours failed: nobody called us
        yield
        return
    found.traceback = shown
    try:
        with without_causes_of_ours(found.value):
            yield
    finally:
        found.traceback = whole
