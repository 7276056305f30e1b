"""Engines: a plan, an ONNX file or ``torch:VARIANT``, opened, each with the input that it will be timed on."""
import contextlib
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

import numpy as np

from edgenext_deploy.artifacts import golden, manifest
from edgenext_deploy.artifacts.engine_file import EngineFile, open_engine_file
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.latency.any_graph import AnyGraphSession, Shapes, fixed_shapes, values_for
from edgenext_deploy.benchmarks.latency.devices import TORCH
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.install import install_command
from edgenext_deploy.preprocess import photo
from edgenext_deploy.preprocess.input_form import as_input, image_shape
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.runtime.table import choose_runtime, is_address, require_engine

# The seed of every manifest's golden input, for a module that has no manifest.
_GOLDEN_SEED = 7


class Engine(NamedTuple):
    """An engine, opened.

    Attributes:
        name: name of its row.
        file: the file and its digest when it was opened.
        session: open.
        model: the network, from the manifest; None without a manifest.
        image: `[B, 3, H, W]`, as the engine takes it; without a manifest of the shape of the first input.
        image_source: ``golden`` or ``synthetic``, see `latency_report.LatencyRecord`.
        tolerance: relative difference of the outputs that its manifest allows in its precision; None without one.
    """

    name: str
    file: latency_report.EngineFile
    session: Session
    model: Optional[latency_report.Model]
    image: np.ndarray
    image_source: str
    tolerance: Optional[float]


@contextlib.contextmanager
def open_engine(path: str, name: str, runtime: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
                torch_device: str = "cpu", shapes: Optional[Shapes] = None) -> Iterator[Engine]:
    """Open an engine for measuring and close it again.

    Args:
        path: engine file, ``torch:VARIANT``, or the address of a served model.
        name: name of its row.
        runtime: how to run it.
        torch_device: ``cpu`` or ``cuda``, for ``torch:VARIANT``.
        shapes: shapes of inputs by name, for an ONNX file without a manifest that leaves sizes open.

    Raises:
        UsageError: an input's size is open and `shapes` does not fix it, or a provider that this ONNX Runtime lacks.
        BadInputError: a file that is missing or broken.
        IncompatibleError: a plan for another machine.
        MissingRuntimeError: the runtime or the provider that the engine needs is not here.
    """
    if path.startswith(TORCH):
        with _open_module(path[len(TORCH):], runtime.threads, torch_device) as session:
            yield _module_engine(name, path, session)
        return
    if is_address(path):
        with choose_runtime(path, runtime.runtime).session_class()(path, options=runtime) as session:
            _require_agreement(path, session, shapes)
            yield _served_engine(name, path, session)
        return
    require_engine(path)
    opened = open_engine_file(path, trust=runtime.trust)
    found = opened.find_manifest()
    file = latency_report.EngineFile(os.path.basename(path), opened.sha256, opened.bytes, opened.manifest_sha256)
    with _open_session(opened, found, runtime, shapes) as session:
        if found is None:
            _require_agreement(path, session, shapes)
        model = _model(found, session)
        tolerance = found.golden.tolerance.get(model.precision) if found is not None and model is not None else None
        yield Engine(name, file, session, model, _image(path, session, found),
                     "synthetic" if found is None else "golden", tolerance)


def is_same_engine(path: str, other: Optional[str]) -> bool:
    """Return whether two names are one engine: the same file, or the same module."""
    if other is None or is_address(path) or is_address(other) or TORCH in (path[:len(TORCH)], other[:len(TORCH)]):
        return path == other
    return os.path.realpath(path) == os.path.realpath(other)


def names_of(paths: Sequence[str]) -> List[str]:
    """Return a short, unique name for each path: the file's own name, with folders only where they tell it apart."""
    by_name: Dict[str, Set[str]] = {}
    for path in paths:
        by_name.setdefault(os.path.basename(path), set()).add(os.path.abspath(path))
    names: List[str] = []
    for path in paths:
        if is_address(path):
            names.append(path)
            continue
        namesakes = by_name[os.path.basename(path)]
        name = os.path.basename(path)
        if len(namesakes) > 1:
            name = os.path.relpath(os.path.abspath(path), os.path.commonpath(list(namesakes)))
        names.append(name)
    return ["{} ({})".format(name, names[:index].count(name) + 1) if name in names[:index] else name
            for index, name in enumerate(names)]


def require_used(shapes: Shapes, engines: Sequence[Engine]) -> None:
    """Raise UsageError if a shape is given for an input that no engine without a manifest has."""
    found = [spec.name for engine in engines if engine.model is None for spec in engine.session.inputs]
    for name in shapes:
        if name not in found:
            raise UsageError("--shape {}: no engine without a manifest has such an input".format(shown(name)),
                             "their inputs are: " + shown(", ".join(dict.fromkeys(found))) if found else
                             "leave it out: a manifest has the sizes, and edgenext-export --image-size makes others")


def _open_session(file: EngineFile, found: Optional[manifest.Manifest], runtime: RuntimeOptions,
                  shapes: Optional[Shapes]) -> Session:
    if found is None and choose_runtime(file.path, runtime.runtime).name == "onnxruntime":
        return AnyGraphSession(file, options=runtime, shapes=shapes)
    from edgenext_deploy.runtime.open import open_session

    return open_session(file, options=runtime)


def _require_agreement(path: str, session: Session, shapes: Optional[Shapes]) -> None:
    """Raise UsageError for a shape that contradicts an engine whose sizes are fixed."""
    if shapes:
        fixed_shapes(path, [(spec.name, spec.shape) for spec in session.inputs], shapes)


def _open_module(variant: str, threads: Optional[int], torch_device: str) -> Any:
    try:
        from edgenext_deploy.models.torch_session import TorchSession
    except (ImportError, SyntaxError) as error:  # no torch, or a Python too old for the definitions
        raise MissingRuntimeError("{}{} needs Python 3.10 or newer with torch: {}".format(TORCH, variant, error),
                                  install_command("export")) from error
    return TorchSession(variant, threads, torch_device)


def _served_engine(name: str, address: str, session: Any) -> Engine:
    """Return the engine behind an address: no manifest says what it is, and its digest is that of its description."""
    file = latency_report.EngineFile(address, session.sha256, None, None)
    return Engine(name, file, session, None, values_for(session.inputs[0]), "synthetic", None)


def _module_engine(name: str, path: str, session: Any) -> Engine:
    model = latency_report.Model(session.variant, "torch", "fp32", session.weights)
    pixels = golden.golden_batch(_GOLDEN_SEED, session.inputs[0].shape)
    image = photo.normalise(pixels, session.preprocessing)
    return Engine(name, latency_report.EngineFile(path, session.weights.sha256, None, None), session, model, image,
                  "golden", None)


def _model(found: Optional[manifest.Manifest], session: Session) -> Optional[latency_report.Model]:
    if found is None:
        return None
    plan = session.record
    # A graph exported for the FP16 flag is FP32 until a builder makes a plan of it, whose sidecar then says so.
    precision = plan.precision if plan is not None else "fp16" if found.precision.mode == "typed" else "fp32"
    return latency_report.Model(found.variant, found.target, precision, found.weights)


def _image(path: str, session: Session, found: Optional[manifest.Manifest]) -> np.ndarray:
    """Return the input to time with, of the engine's shape and dtype."""
    spec = session.inputs[0]
    if not all(isinstance(size, int) and size > 0 for size in spec.shape):
        raise UsageError("{}: input {!r} has a shape that is not fixed: {}".format(
            path, spec.name, list(spec.shape)), "export it with fixed shapes: edgenext-export --batch 1")
    if found is not None:
        pixels = golden.golden_batch(found.golden.seed, image_shape(spec))
        return as_input(photo.normalise(pixels, found.preprocessing), spec)
    return values_for(spec)
