"""Shared set-up. Also loaded under Python 3.6, so whatever a workstation has is imported inside."""
import os
import subprocess
import sys

import pytest

# Helper modules lie in this folder.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope="session")
def nano_export(tmp_path_factory):
    """Return a function from a variant's name to its export for nano with the golden parameters, made once."""
    from golden_exports import export_golden

    done = {}

    def export(variant):
        if variant not in done:
            done[variant] = export_golden(variant, tmp_path_factory.mktemp(variant), fp16=True)
        return done[variant]

    return export


@pytest.fixture(scope="session")
def nano_head(tmp_path_factory):
    """Return a function from the name of a detector or segmenter to its export for nano at 96x96, made once.

    A detector is also exported with the NMS plugin.
    """
    from edgenext_deploy.export.pipeline import run_export
    from edgenext_deploy.export.request import ExportRequest

    done = {}

    def export(variant):
        if variant not in done:
            done[variant] = run_export(ExportRequest(
                variant, fp16=True, height=96, width=96, nms="plugin" if variant.endswith("_ssdlite") else "host",
                output=str(tmp_path_factory.mktemp(variant))))
        return done[variant]

    return export


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Return the path of the project's wheel, built once from a copy of what it is made of."""
    import pathlib
    import shutil

    root = pathlib.Path(__file__).resolve().parent.parent
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    # With what its links point at, as pip copies it.
    shutil.copytree(str(root / "edgenext_deploy"), str(source / "edgenext_deploy"),
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(str(root / name), str(source))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder),
                    str(source)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=str(folder))
    (path,) = folder.glob("*.whl")
    return path
