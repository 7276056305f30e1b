"""``edgenext-export --race``: several formulations of one network in one bundle, each exported and checked as alone."""
import dataclasses
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgenext_deploy.artifacts.manifest import BUNDLE_SUFFIX, Manifest
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.bundle.writing import NamedGraph, bundle_bytes
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError, VerificationError
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.result import ExportResult
from edgenext_deploy.files import shown, write_files_atomically
from edgenext_deploy.formulations import candidates_for, parse_formulation
from edgenext_deploy.scratch import scratch_folder

# Inputs on which FP16 is emulated; half a second each for xxs.
_EMULATED = 2
ExportOne = Callable[[ExportRequest], ExportResult]


@dataclasses.dataclass(frozen=True)
class RaceExport:
    """A bundle, as written.

    Attributes:
        path: of the bundle.
        bytes: size of the bundle in bytes.
        manifests: those of its graphs, by the names of the formulations, in the order of the race.
        left_out: formulations that are not in it, each with the reason.
        warnings: sentences for the user.
    """

    path: str
    bytes: int
    manifests: dict[str, Manifest]
    left_out: dict[str, str]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {"bundle": self.path, "bytes": self.bytes, "left_out": self.left_out, "warnings": list(self.warnings),
                "candidates": {name: {
                    "sha256": found.graph.sha256, "bytes": found.graph.bytes, "lowering": found.lowering,
                    "precision": found.precision._asdict(), "parity": found.parity._asdict(),
                } for name, found in self.manifests.items()}}


def run_race_export(request: ExportRequest, formulations: Sequence[str] | None, export_one: ExportOne) -> RaceExport:
    """Export every formulation and write the bundle.

    Args:
        request: the options; its `formulation` is filled in.
        formulations: their names, the most promising first; None for those that are worth trying on the target.
        export_one: exports one of them.

    Raises:
        EdgeNextError: see `export_race`.
    """
    resolved = request.resolve()
    names = _names(request, resolved, formulations)
    path = str(resolved.folder / (resolved.name + BUNDLE_SUFFIX))
    _require_place(path, resolved)
    graphs: list[NamedGraph] = []
    found: dict[str, Manifest] = {}
    warnings: dict[str, None] = {}
    left_out: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        def tell(step: str, prefix: str = f"{number} of {len(names)}, {name}: ") -> None:
            request.progress(prefix + step)

        with scratch_folder() as folder:
            try:
                result = export_one(dataclasses.replace(
                    request, formulation=name, output=os.path.join(folder, "out"), name=resolved.name, progress=tell))
                tell("emulating FP16")
                _require_accurate(result, resolved)
            except (IncompatibleError, VerificationError) as error:
                left_out[name] = error.message
                continue
            written = result.nms or result
            graph = NamedGraph(name, Path(written.onnx_path).read_bytes(), Path(written.manifest_path).read_bytes())
        same = [other.name for other in graphs if other.graph == graph.graph]
        if same:
            left_out[name] = f"the same graph as {same[0]}"
            continue
        if not graphs:
            _require_replaceable(path, written.manifest, resolved)
        graphs.append(graph)
        found[name] = written.manifest
        warnings.update(dict.fromkeys(f"{name}: {warning}" for warning in result.warnings))
    if not graphs:
        raise IncompatibleError("no formulation can be exported: " + "; ".join(
            f"{name}: {reason}" for name, reason in left_out.items()), "export one alone to see more: --formulation "
            + names[0])
    content = bundle_bytes(resolved.variant.name, graphs, left_out)
    write_files_atomically({path: content})
    return RaceExport(path, len(content), found, left_out, tuple(warnings))


def _names(request: ExportRequest, resolved: ResolvedExport, formulations: Sequence[str] | None) -> list[str]:
    if request.formulation or request.layout or request.padding:
        raise UsageError("--race writes several formulations, and --formulation, --layout and --padding name one",
                         "leave one of the two out")
    if resolved.drift.wanted:
        raise UsageError("--race writes a bundle and no analysis; --drift and --auto-pin go with a single graph",
                         "leave one of the two out")
    wanted = candidates_for(bool(resolved.target.compute_capability), resolved.target.formulation)
    names = [parse_formulation(name).name for name in (wanted if formulations is None else formulations)]
    return list(dict.fromkeys(names))


def _require_accurate(result: ExportResult, resolved: ResolvedExport) -> None:
    """Raise VerificationError if FP16 may cost a graph more than its self-test on the device allows.

    Emulated on the CPU in the worst case, with every sum in FP16. Of a typed graph nothing is known here.
    """
    if resolved.precision.mode != "flag":
        return
    from edgenext_deploy.export.checks.parity import parity_inputs
    from edgenext_deploy.export.precision.drift import worst_case
    from edgenext_deploy.export.precision.emulate import Emulator

    manifest, emulator = result.manifest, Emulator(result.precision.model)
    pins = {node: reason for reason, nodes in manifest.precision.fp32_pins.items() for node in nodes}
    allowed = manifest.golden.tolerance["fp16"]
    for image in itertools.islice(parity_inputs(resolved.shape, manifest.preprocessing), _EMULATED):
        error = worst_case(emulator, image, pins).error
        if not error <= allowed:
            raise VerificationError(
                f"FP16 may cost it {error:.2g} of the largest value of an output, {allowed:g} is allowed "
                "(emulated with every sum in FP16)")


def _require_place(path: str, resolved: ResolvedExport) -> None:
    """Raise UsageError now, and not after minutes, if something lies there that is no bundle."""
    if not os.path.lexists(path) or resolved.force:
        return
    try:
        open_bundle(path)
    except BadInputError as error:
        raise UsageError(f"{path} exists already and is no bundle",
                         "replace it with --force, or choose another --name or --output") from error


def _require_replaceable(path: str, new: Manifest, resolved: ResolvedExport) -> None:
    """Raise UsageError if the bundle there is of another network, or for another use."""
    if not os.path.lexists(path) or resolved.force:
        return
    there = next(iter(open_bundle(path).manifests.values()))
    # As of a single graph, see `overwrite`.
    for what, old, now in (
            ("weights", there.weights.sha256, new.weights.sha256), ("target", there.target, new.target),
            ("input", there.inputs, new.inputs), ("preprocessing", there.preprocessing, new.preprocessing),
            ("output", (there.outputs, there.scores), (new.outputs, new.scores)),
            ("precision", there.precision[:2], new.precision[:2])):
        if old != now:
            raise UsageError(f"{path} exists already, of {shown(there.variant)} with another {what}",
                             "replace it with --force, or choose another --name or --output")
