"""Run a module of this project as if only what one extra of setup.cfg asks for were installed.

Usage: python only_extra.py EXTRA MODULE [ARGUMENT ...]
"""
import configparser
import importlib.metadata
import os
import re
import runpy
import sys
from importlib.machinery import PathFinder

from packaging.requirements import Requirement

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(extra):
    """Return the names of all that pip would install, as far as it is here."""
    config = configparser.ConfigParser()
    config.read(os.path.join(ROOT, "setup.cfg"))
    text = config["options"]["install_requires"] + config["options.extras_require"][extra]
    pending = [(Requirement(line), {""}) for line in text.splitlines() if line.strip()]
    seen = set()
    while pending:
        wanted, extras = pending.pop()
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": name}) for name in extras):
            continue
        key = (normal(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            found = importlib.metadata.distribution(wanted.name).requires or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        pending += [(Requirement(line), wanted.extras or {""}) for line in found]
    return {name for name, _ in seen}


def main(extra, module, *arguments):
    kept = distributions(extra)
    hidden = {top for top, names in importlib.metadata.packages_distributions().items()
              if top != "edgenext_deploy" and not top.startswith("__editable__")
              and not any(normal(name) in kept for name in names)}

    class Kept(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None if name.split(".")[0] in hidden else PathFinder.find_spec(name, path, target)

    for name in [name for name in sys.modules if name.split(".")[0] in hidden]:
        del sys.modules[name]
    sys.meta_path[:] = [Kept if finder is PathFinder else finder for finder in sys.meta_path]
    sys.path[0] = ROOT
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
