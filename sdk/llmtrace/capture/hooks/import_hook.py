"""A callback for when a module is imported, now or later.

As `wrapt.register_post_import_hook`, without what importing wrapt brings along (asyncio, ssl): a tenth of the
CPU that importing this package takes.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

ImportCallback = Callable[[ModuleType], None]
"""Called with the module once it is executed; must not raise."""


def when_imported(names: Sequence[str], callback: ImportCallback) -> None:
    """Call `callback` for each of the modules that is there, and for each that is imported from now on."""
    sys.meta_path.insert(0, _Finder(frozenset(names), callback))
    for name in names:
        module = sys.modules.get(name)
        if module is not None:
            callback(module)


class _Finder:
    """Finds nothing itself: has the others find the module, and listens in on its loader."""

    def __init__(self, names: frozenset[str], callback: ImportCallback) -> None:
        self._names = names
        self._callback = callback
        self._searches: set[tuple[int, str]] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        key = threading.get_ident(), name
        if name not in self._names or key in self._searches or name in sys.modules:
            return None
        self._searches.add(key)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searches.discard(key)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            self._wrap_loader(spec.loader, name)
        return spec

    def _wrap_loader(self, loader: object, name: str) -> None:
        execute = loader.exec_module  # type: ignore[attr-defined]  # asked for above

        def executed(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == name:  # a loader may have several modules
                self._callback(module)

        loader.exec_module = executed  # type: ignore[attr-defined]
