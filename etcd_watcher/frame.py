"""Events as a pandas DataFrame. The only module that knows pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etcd_watcher.event import Event, Gap, Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of"]


def frame_of(records: Sequence[Record], times: Sequence[float]) -> pd.DataFrame:
    """Give the events among some records as a table; see `Journal.to_pandas`.

    Raises
    ------
    ImportError
        Without pandas.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - it takes half a second, and is not always there
    except ImportError as error:
        raise ImportError(
            "pandas is not installed here, and comes with an extra of this package: "
            "pip install 'etcd-watcher[pandas]'"
        ) from error
    timed = [(each, at) for each, at in zip(records, times, strict=True) if isinstance(each, Event)]
    events = [each for each, _ in timed]
    # Held as Python's own text: the bytes that are not UTF-8 are lone surrogates, which Arrow
    # refuses.
    text = pd.StringDtype("python")
    came = [round(at * 1e6) for _, at in timed]
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(pd.array(came, dtype="int64"), unit="us", utc=True),
            "revision": pd.array([each.revision for each in events], dtype="int64"),
            "type": pd.Categorical([each.type.value for each in events], ["PUT", "DELETE"]),
            "key": pd.array([each.key for each in events], dtype=text),
            "value": pd.array([each.value for each in events], dtype=text),
            "prev_value": pd.array([each.prev_value for each in events], dtype=text),
            "created": pd.array([each.created or None for each in events], dtype="Int64"),
            "version": pd.array([each.version or None for each in events], dtype="Int64"),
            "lease": pd.array([each.lease or None for each in events], dtype="Int64"),
            "action": pd.Categorical([each.action for each in events]),
            "expired": pd.array([each.expired for each in events], dtype="bool"),
            "synthetic": pd.array([each.synthetic for each in events], dtype="bool"),
        }
    )
    gaps = [each for each in records if isinstance(each, Gap)]
    if gaps:
        frame.attrs["gaps"] = [(each.first, each.last, each.reason) for each in gaps]
    return frame
