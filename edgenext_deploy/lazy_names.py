"""Packages whose public names are imported on first use.

A module-level ``__getattr__`` (PEP 562) would do from Python 3.7 on; a Jetson Nano has 3.6.
"""
import importlib
import sys
import types

TYPE_CHECKING = False  # of `typing`, whose import takes longer than this package's
if TYPE_CHECKING:
    from typing import Any, Dict, List


class _LazyModule(types.ModuleType):
    """A module that imports the names in `_modules` when they are first asked for."""

    _modules: "Dict[str, str]" = {}
    _extra = ""

    def __getattr__(self, name: str) -> "Any":
        if name not in self._modules:
            raise AttributeError("module {!r} has no attribute {!r}".format(self.__name__, name))
        try:
            value = getattr(importlib.import_module(self._modules[name]), name)
        except ImportError as error:
            if not self._extra or (error.name or "").startswith("edgenext_deploy"):
                raise
            from edgenext_deploy.install import install_command

            raise type(error)("{}; {}.{} needs Python 3.10 or newer and more libraries: {}".format(
                error, self.__name__, name, install_command(self._extra)), name=error.name) from error
        setattr(self, name, value)
        return value

    def __dir__(self) -> "List[str]":
        return sorted({*super().__dir__(), *self._modules})


def lazy_names(package: str, modules: "Dict[str, str]", extra: str = "") -> None:
    """Give a package public names that are imported on first use.

    Args:
        package: the package's ``__name__``.
        modules: the module that defines each name.
        extra: of setup.cfg, which installs what these modules import; an ImportError then names it.
    """
    module = sys.modules[package]
    module.__class__ = type("LazyModule", (_LazyModule,), {"_modules": modules, "_extra": extra})
