"""From a request to an adopted network: the file is read, its options are looked up, the export runs."""
import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import onnx

from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.adoption.ends import BoxForm, Ends, RawValues, choose_values
from edgenext_deploy.export.adoption.network import AdoptedNetwork, adopted_variant
from edgenext_deploy.export.adoption.normal_form import LOWEST_OPSET, inlined, prepare
from edgenext_deploy.export.adoption.request import AdoptRequest
from edgenext_deploy.export.adoption.source_file import ImageInput, fix_input, image_input, parsed, read_source
from edgenext_deploy.export.adoption.source_session import SourceSession
from edgenext_deploy.export.checks.advice import ADOPTED_FILE
from edgenext_deploy.export.checks.rtx import Build, build_with_rtx
from edgenext_deploy.export.graph.opset import opset_of
from edgenext_deploy.export.image_size import parse_image_size
from edgenext_deploy.export.output_place import adopted_name, place_of
from edgenext_deploy.export.pipeline import Export
from edgenext_deploy.export.request import labels_source, names_of, precision_for, require_writable
from edgenext_deploy.export.resolved import DriftOptions, GraphForm, ResolvedExport, WeightsSource
from edgenext_deploy.export.result import ExportResult
from edgenext_deploy.files import sha256_of_bytes, shown
from edgenext_deploy.models.variants.registry import VARIANTS
from edgenext_deploy.targets import get_target

_INPUT = re.compile(r"(?:(?P<name>.+)=)?(?P<shape>\d{1,6}(?:x\d{1,6}){3})")


def adopt_file(request: AdoptRequest, build: Build = build_with_rtx) -> ExportResult:
    """Adopt a network as `api.adopt` does.

    Args:
        request: the options.
        build: builds with TensorRT-RTX; tests give a cheap one.
    """
    resolved, network = resolve(request)
    result = Export(resolved, request.progress, load=network.load, emit=network.emit, simplify=network.as_simplified,
                    build=build).run()
    return dataclasses.replace(result, notes=(*result.notes, *network.notes, *_assumed(request, result)))


def resolve(request: AdoptRequest) -> tuple[ResolvedExport, AdoptedNetwork]:
    """Return the request with every name looked up, and the file as the network to export.

    Raises:
        UsageError: options that do not go together, or sizes that the file leaves open.
        BadInputError: no ONNX file, or labels that cannot be read.
        IncompatibleError: the network is no function of one image, or FP16 in a way that the target lacks.
    """
    request.require_allowed()
    target = get_target(request.target)
    precision = precision_for(target, request.fp16, request.precision_mode, request.io)
    request.progress("reading the file")
    file, model = _read(request)
    folder, stem = place_of(os.fspath(request.output), request.name, adopted_name(file, target.name))
    _require_other_name(stem, folder, file)
    require_writable(Path(folder))
    digest = sha256_of_bytes(model.SerializeToString(deterministic=True))
    image = image_input(model, *_sizes(request))
    fix_input(model, image)
    model = inlined(model)
    wanted = (request.boxes, request.scores) if request.task == "detection" else (request.logits,)
    values = choose_values(model, request.task, wanted)
    source, model, notes = _opened(model, image, values)
    boxes = BoxForm(request.box_format == "ltrb", request.box_unit == "pixel", request.background)
    ends = _seen(Ends(request.task, values, image.image_shape, boxes), source)
    activation = ends.values.activation
    if request.activation is not None and activation not in (None, request.activation):
        raise UsageError(f"--activation {request.activation}: the file itself ends in a {activation}", "leave it out")
    samples = None if request.samples is None else os.fspath(request.samples)
    resolved = ResolvedExport(
        name=stem, folder=Path(folder), force=request.force, variant=adopted_variant(stem, request.task),
        target=target, precision=precision, io=request.io, source=WeightsSource(None, file, False, 0),
        shape=image.image_shape, num_classes=None, labels=names_of(request.labels, None),
        labels_source=labels_source(request.labels), activation=activation or request.activation,
        threshold=request.threshold, form=GraphForm(ends.output_name if request.task in (
            "classification", "features") else ""), preprocessing=request.preprocessing(), formulation=None,
        fold_normalization=False, nms_plugin=False,
        drift=DriftOptions(request.drift or request.auto_pin, request.auto_pin, samples, request.tolerance),
        advice=ADOPTED_FILE)
    return resolved, AdoptedNetwork(model, source, ends, digest, Path(file).name, notes)


def _opened(
    model: onnx.ModelProto, image: ImageInput, values: RawValues
) -> tuple[SourceSession, onnx.ModelProto, tuple[str, ...]]:
    """Return the file in ONNX Runtime, the prepared model, and what to say of it."""
    names = (*values.names, *([] if values.output is None else [values.output]))
    opset = opset_of(model)
    try:
        return SourceSession(model, image, names), prepare(model), ()
    except BadInputError:
        if opset >= LOWEST_OPSET:
            raise
    prepared = prepare(model)
    return SourceSession(prepared, image, names), prepared, (
        f"ONNX Runtime does not run the file at its opset {opset}: the reference is what onnx's converter makes of it",)


def _seen(ends: Ends, source: SourceSession) -> Ends:
    """Return the ends as the file's answers to one input show them."""
    image = np.random.default_rng(0).standard_normal(ends.image, dtype=np.float32)
    *raw, last = source.run(image, source.names)
    return ends.seen([*raw, last], None) if ends.values.output is None else ends.seen(raw, last)


def _read(request: AdoptRequest) -> tuple[str, onnx.ModelProto]:
    """Return the file's path, or the model's own name, and the model."""
    if isinstance(request.model, onnx.ModelProto):
        return request.model.graph.name or "model", parsed(request.model)
    path = os.fspath(request.model)
    return path, read_source(path)


def _sizes(request: AdoptRequest) -> tuple[str | None, tuple[int, ...] | None, tuple[int, int] | None]:
    """Return the input's name, all its sizes, and height and width, as far as the options say them."""
    size = None if request.image_size is None else parse_image_size(request.image_size)
    if request.input is None:
        return None, None, size
    match = _INPUT.fullmatch(request.input)
    if match is None:
        raise UsageError(f"--input {shown(request.input)} found, NAME=1x3x224x224 or 1x3x224x224 expected",
                         "try --input 1x3x224x224")
    return match.group("name"), tuple(map(int, match.group("shape").split("x"))), size


def _require_other_name(stem: str, folder: str, file: str) -> None:
    if stem in VARIANTS:
        raise UsageError(f"{stem} is the name of a network of ours, whose published figures belong to that one",
                         f"try --name {stem}_mine")
    if os.path.realpath(os.path.join(folder, stem + ".onnx")) == os.path.realpath(file):
        raise UsageError(f"{shown(file)} is the file that is adopted, and it stays as it is",
                         f"try --name {stem}_adopted")


def _assumed(request: AdoptRequest, result: ExportResult) -> list[str]:
    """Return what no option said and no file can say."""
    notes = []
    if request.mean is None or request.std is None:
        notes.append("no file says how photos were prepared: ImageNet's mean and standard deviation are taken where "
                     "--mean and --std do not say otherwise")
    if request.labels is None and result.manifest.labels:
        notes.append(f"no file says what the classes are called: {len(result.manifest.labels)} classes are taken as "
                     f"{result.manifest.labels_source}'s, in its order; --labels FILE gives others")
    return notes
