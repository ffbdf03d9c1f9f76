"""`%load_ext etcd_watcher`: the magics `%etcd` and `%%on_change`; see docs/magics.md."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from etcd_watcher.ipython.completion import complete
from etcd_watcher.ipython.magics import EtcdMagics

__all__ = ["load", "unload"]

NAMES = ("%etcd", "%%on_change", "%on_change")


def load(shell: InteractiveShell) -> None:
    """Give a shell our magics, and complete what they are given."""
    magics = EtcdMagics(shell)
    shell.register_magics(magics)
    for name in NAMES:
        shell.set_hook("complete_command", complete, str_key=name)  # type: ignore[no-untyped-call]


def unload(shell: InteractiveShell) -> None:
    """Take the magics away, and end the cells that run at changes."""
    magics = shell.magics_manager.registry.get(EtcdMagics.__name__)
    if isinstance(magics, EtcdMagics):
        magics.end_all()
    for kind in ("line", "cell"):
        for name in ("etcd", "on_change"):
            shell.magics_manager.magics[kind].pop(name, None)
