"""A file that is there complete, or as it was before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

__all__ = ["drafted"]


@contextmanager
def drafted(path: Path) -> Iterator[TextIO]:
    """Give a file to write to, which takes the path's place at the end of the `with`.

    Raises
    ------
    ValueError
        There is something else than a file: a device or a pipe would be gone.
    OSError
        It cannot be written.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file: recordings are kept in files")
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        file = draft.open("x", encoding="ascii")
    except OSError as error:
        if path.parent.is_dir():
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise OSError(error.errno, "there is no such folder", str(path.parent)) from None
    try:
        with file:
            yield file
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
