"""Exports for tests that ask something else than the simplifier and TensorRT-RTX: cheap, and made once.

They are kept in .cache/exports, where every process and every later run of the tests finds them. An export is found
again only where all that it depends on is the same: sources, libraries, options, and the files that it reads.
"""
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import importlib.metadata
import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import paths

from edgenext_deploy.export.checks.rtx import RtxReport
from edgenext_deploy.export.graph import simplify_child
from edgenext_deploy.export.graph.simplify import Simplified
from edgenext_deploy.export.pipeline import run_export
from edgenext_deploy.export.request import ExportRequest

ROOT = Path(paths.ROOT)
CACHE = ROOT / ".cache" / "exports"
# What an export imports, by design.md; with the links followed, models/ and export/ are in it.
SOURCES = [ROOT / name for name in ("edgenext_deploy", "models", "export", "tests/exports.py")]
LIBRARIES = ("torch", "onnx", "onnxsim", "onnxruntime", "numpy", "safetensors", "Pillow")
# States of the sources whose exports are kept; all variants are some 500 MB.
KEPT_STATES = 2


def simplify_here(model):
    """Simplify in this process: the real simplifier, without the start of a child."""
    return Simplified(simplify_child.simplified(model), None)


def build_nothing(*arguments, **options):
    """Take the place of TensorRT-RTX."""
    return RtxReport(False, False, reason="this test does not ask it")


def quick_export(request, **tools):
    """Export, without the child processes of the simplifier and of TensorRT-RTX."""
    return run_export(request, **{"simplify": simplify_here, "build": build_nothing, **tools})


def export(variant, output, **options):
    """Return the `ExportResult` of a quick export into a folder, from the cache if it was made before.

    Not for a test that replaces any function of the export: the next one would find what it made.
    """
    kept = CACHE / sources_digest() / request_digest(variant, options)
    with locked(kept.with_suffix(".lock")):
        if not (kept / "result.pickle").is_file():
            keep(variant, options, kept)
        Path(output).mkdir(parents=True, exist_ok=True)
        for path in kept.iterdir():
            if path.name != "result.pickle":
                shutil.copyfile(path, Path(output, path.name))
        return moved(pickle.loads((kept / "result.pickle").read_bytes()), str(output))


def keep(variant, options, kept):
    """Export into the cache: the folder gets its name when all is in it."""
    folder = Path(tempfile.mkdtemp(dir=kept.parent))
    result = quick_export(ExportRequest(variant, folder, **options))
    (folder / "result.pickle").write_bytes(pickle.dumps(result))
    folder.rename(kept)


def moved(result, folder):
    """Return a result with its files in another folder."""
    def there(path):
        return os.path.join(folder, os.path.basename(path))

    nms = result.nms and dataclasses.replace(
        result.nms, onnx_path=there(result.nms.onnx_path), manifest_path=there(result.nms.manifest_path))
    return dataclasses.replace(
        result, onnx_path=there(result.onnx_path), manifest_path=there(result.manifest_path),
        other_paths=tuple(map(there, result.other_paths)), nms=nms)


@contextlib.contextmanager
def locked(path):
    """Hold a lock that other processes respect: of two that need an export, one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def digest(parts):
    found = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else str(part).encode("utf-8")
        found.update(b"%d:" % len(content) + content)
    return found.hexdigest()[:24]


def files_of(path):
    """Yield the names and paths of all files below a folder, or of one file; those that Python makes are left out."""
    inside = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in inside:
        if file.is_file() and "__pycache__" not in file.parts:
            yield from (str(file.relative_to(path.parent)), file)


@functools.lru_cache(maxsize=None)
def sources_digest():
    """Return the digest of all code that an export may run, and drop the exports of older code."""
    versions = ["{} {}".format(name, importlib.metadata.version(name)) for name in LIBRARIES]
    state = digest([sys.version, *versions, *(part for source in SOURCES for part in files_of(source))])
    CACHE.mkdir(parents=True, exist_ok=True)
    others = [path for path in CACHE.iterdir() if path.name != state]
    others.sort(key=lambda path: path.stat().st_mtime)
    for path in others[:max(len(others) - KEPT_STATES + 1, 0)]:
        shutil.rmtree(path, ignore_errors=True)
    return state


def request_digest(variant, options):
    """Return the digest of the options, and of the files that they name."""
    read = [Path(options[name]) for name in ("weights", "labels", "samples")
            if options.get(name) is not None and os.path.exists(options[name])]
    named = {name: os.path.basename(value) if isinstance(value, (str, Path)) else value
             for name, value in sorted(options.items())}
    return digest([variant, named, *(part for path in read for part in files_of(path))])


def replace_tools(monkeypatch):
    """Have `export_onnx` and the command export quickly, too."""
    from edgenext_deploy.export import pipeline

    monkeypatch.setattr(pipeline, "Export", functools.partial(
        pipeline.Export, simplify=simplify_here, build=build_nothing))
