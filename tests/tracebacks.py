"""All that a person, or a service that gathers errors, sees of one."""

from __future__ import annotations

import traceback
from pathlib import Path

from _pytest._io.saferepr import saferepr

TESTS = str(Path(__file__).parent)


def shown(error: BaseException) -> str:
    """Give all that a traceback with variables shows, but for those of the tests themselves.

    What it came from is looked at, too, even where a traceback would leave that out.
    """
    texts = [str(error), repr(error), *traceback.format_exception_only(error)]
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(TESTS):
            texts += [saferepr(each, 100_000) for each in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    causes = {each for each in (error.__cause__, error.__context__) if each is not None}
    return "\n".join([*texts, *map(shown, causes)])
