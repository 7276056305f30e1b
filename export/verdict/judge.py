"""The operator verdict: which TensorRT releases can run an ONNX model, and if not, which node and why.

It reads documents, not TensorRT: see docs/operators.md for what that can and cannot know. The model is
never executed and external data is never loaded. Every step costs time in proportion to the file: nodes that rules
cannot tell apart are judged once, and what onnx does with functions inside of functions is left out where they unfold
to more than a million nodes.
"""
import dataclasses
from collections.abc import Collection, Iterator, Sequence

import onnx
from onnx import TensorProto

from edgenext_deploy.artifacts.nms_plugin import OP
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export.graph.opset import opset_of
from edgenext_deploy.export.verdict.builder_rules import builder_problems
from edgenext_deploy.export.verdict.element_types import type_name, type_problems
from edgenext_deploy.export.verdict.findings import (
    MAX_NODES_LISTED,
    UNDOCUMENTED,
    Finding,
    Verdict,
    group_findings,
)
from edgenext_deploy.export.verdict.importer_rules import BROADCASTING, BROADCASTING_OPSET, importer_problems
from edgenext_deploy.export.verdict.nodes import AI_ONNX, NodeView, unfolded_nodes, walk
from edgenext_deploy.export.verdict.plugins import plugin_problems
from edgenext_deploy.export.verdict.reading import complaint_of_checker
from edgenext_deploy.export.verdict.releases import Release, documented_releases, first_release_with, get_release
from edgenext_deploy.export.verdict.rules import problems_of
from edgenext_deploy.export.verdict.severities import ERROR, NOTE, WARNING
from edgenext_deploy.targets import Target

# The TensorRT-RTX of the table.
RTX = "rtx-1.7"
_MOST_UNFOLDED = 1_000_000
# From here on, TensorRT's inputs have names of sizes (ITensor::setDimensionName), which the parser sets.
_NAMED_SIZES = (8, 5)
# Compute capability from which there are kernels. TensorRT-RTX 1.7.1 built FP8 for 8.9, not for 8.6; FP4 for 12.0, not
# for 8.9.
_TYPES_FROM = {TensorProto.FLOAT8E4M3FN: (8, 9), TensorProto.FLOAT4E2M1: (10, 0)}

@dataclasses.dataclass(frozen=True)
class Analysis:
    """A model read once, to be judged for many releases.

    Attributes:
        opset: imported ai.onnx opset, 0 if none is imported.
        ir_version: of the file.
        nodes: every node.
        kinds: the numbers of the nodes that no rule can tell apart, one tuple for each kind, in order of appearance.
        typed: shape and type inference worked.
        judged: verdicts so far, by release.
        complaint: of ONNX's own checker, empty if it has none or was not asked.
        plugins: operators that the user says the device has plugins for.
        types: element types of all tensors.
        shared_names: inputs with sizes of one name, and that name.
        not_tensors: inputs and outputs of the graph that are no dense tensors: sequences, maps, optionals.
    """

    opset: int
    ir_version: int
    nodes: tuple[NodeView, ...]
    kinds: tuple[tuple[int, ...], ...]
    typed: bool
    types: frozenset[int]
    shared_names: tuple[tuple[str, str], ...]
    not_tensors: tuple[str, ...]
    complaint: str = ""
    plugins: frozenset[str] = frozenset()
    judged: dict[str, Verdict] = dataclasses.field(default_factory=dict, compare=False)


def analyse(model: onnx.ModelProto, *, from_elsewhere: bool = False, plugins: Collection[str] = ()) -> Analysis:
    """Read a model: infer types and shapes, and walk its nodes.

    Args:
        model: as exported, or as `load_model` gives it.
        from_elsewhere: ask ONNX's checker too.
        plugins: operators that the device has plugins for, beside NVIDIA's own.
    """
    known, typed, complaint = model, unfolded_nodes(model) <= _MOST_UNFOLDED, ""
    if typed:
        complaint = complaint_of_checker(model) if from_elsewhere else ""
        try:
            known = onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=False)
        except Exception:  # the inference functions of operators raise many types
            typed = False
    opset = opset_of(model)
    nodes = tuple(walk(known))
    types = frozenset(node.element_type(name) for node in nodes for name in (*node.inputs, *node.outputs))
    not_tensors = tuple(dict.fromkeys(
        info.name for info in (*model.graph.input, *model.graph.output)
        if info.type.WhichOneof("value") not in ("tensor_type", None)))
    kinds: dict[tuple[object, ...], list[int]] = {}
    for number, node in enumerate(nodes):
        kinds.setdefault(node.signature, []).append(number)
    return Analysis(opset, model.ir_version, nodes, tuple(map(tuple, kinds.values())), typed, types,
                    _shared_names(model), not_tensors, complaint, frozenset(plugins))


def _shared_names(model: onnx.ModelProto) -> tuple[tuple[str, str], ...]:
    """Return the inputs of which several sizes have one name, each with that name."""
    found = []
    for info in model.graph.input:
        names = [size.dim_param for size in info.type.tensor_type.shape.dim if size.dim_param]
        found += [(info.name, name) for name in dict.fromkeys(names) if names.count(name) > 1]
    return tuple(found)


def judge(model: onnx.ModelProto, release: str) -> Verdict:
    """Judge a model for one TensorRT release, such as ``8.2`` or ``10.13.3``.

    Raises:
        UsageError: not a release, or an undocumented old one.
    """
    return judge_analysis(analyse(model), release)


def judge_all(model: onnx.ModelProto) -> dict[str, Verdict]:
    """Judge a model for every documented release, oldest first."""
    return judge_every_release(analyse(model))


def judge_every_release(analysis: Analysis) -> dict[str, Verdict]:
    """Judge a model that `analyse` has read for every documented release, oldest first."""
    return {release: judge_analysis(analysis, release) for release in documented_releases()}


def judge_analysis(analysis: Analysis, release: str) -> Verdict:
    """Judge a model that `analyse` has read."""
    if release not in analysis.judged:
        facts = get_release(release)
        findings = [*_about_model(analysis, facts), *_about_nodes(analysis, facts)]
        analysis.judged[release] = Verdict(
            release, facts.documented_as, all(finding.severity != ERROR for finding in findings), tuple(findings))
    return analysis.judged[release]


def require(model: onnx.ModelProto, target: Target) -> None:
    """Check that `target` can run a model.

    Raises:
        IncompatibleError: it cannot; the message names the first nodes, operators, releases and reasons,
            and counts the others.
    """
    require_analysis(analyse(model), target)


def require_analysis(analysis: Analysis, target: Target, fix: str | None = None) -> None:
    """Do as `require` for a model that `analyse` has read; `fix` as of `refuse`."""
    refuse(target, target_problems(analysis, target), fix)


def refuse(target: Target, problems: Sequence[str], fix: str | None = None) -> None:
    """Raise IncompatibleError if there are problems, as `target_problems` returns them.

    `fix` says what to do; None stands for a file from anywhere.
    """
    if problems:
        shown = "; ".join(problems[:MAX_NODES_LISTED])
        more = len(problems) - MAX_NODES_LISTED
        others = f"; and {more} more" if more > 0 else ""
        raise IncompatibleError(
            f"target {target.name} cannot run this graph: {shown}{others}",
            fix or f"write it for this target: edgenext-export --target {target.name} for a network of ours, "
            f"edgenext-export adopt FILE.onnx --target {target.name} for another; or choose another target")


def target_problems(analysis: Analysis, target: Target) -> tuple[str, ...]:
    """Return why `target` cannot run a model, node by node and then the model as a whole; empty if it can."""
    verdicts = [judge_analysis(analysis, release) for release in target.tensorrt]
    errors = [group for group in group_findings(verdicts) if group.severity == ERROR]
    problems = [f"{group} [TensorRT {', '.join(group.releases)}]" for group in errors if group.op]
    if not target.tensorrt:
        problems.extend(f"{node.op} node {node.name!r}: a TensorRT plugin that {target.name} does not have"
                        for node in analysis.nodes if node.op == OP)
    capability = tuple(map(int, target.compute_capability.split("."))) if target.compute_capability else None
    problems.extend(
        f"{type_name(kind)} tensors, which need compute capability {first}.{second}; {target.name} has "
        f"{target.compute_capability}" for kind, (first, second) in _TYPES_FROM.items()
        if kind in analysis.types and capability is not None and capability < (first, second))
    if analysis.opset > target.opset:
        problems.append(f"opset {analysis.opset} found, {target.opset} is the highest for {target.name}")
    else:
        problems.extend(f"{group} [TensorRT {', '.join(group.releases)}]" for group in errors if not group.op)
    if analysis.ir_version > target.ir_version:
        problems.append(
            f"IR version {analysis.ir_version} found, {target.ir_version} is the highest for {target.name}")
    return tuple(problems)


def _about_model(analysis: Analysis, release: Release) -> Iterator[Finding]:
    opset = analysis.opset
    if opset < 1:
        yield Finding("", "", ERROR, "the model imports no ai.onnx opset")
    elif release.max_opset is not None and opset > release.max_opset:
        yield Finding("", "", ERROR, f"opset {opset}; the highest documented is {release.max_opset}")
    elif release.min_opset is not None and opset < release.min_opset:
        # The parsers log a warning and go on.
        yield Finding("", "", UNDOCUMENTED, f"opset {opset}; the lowest documented is {release.min_opset}")
    if release.ir_version is not None and analysis.ir_version > release.ir_version:
        yield Finding("", "", WARNING, f"IR version {analysis.ir_version}; the parser was built with "
                                       f"{release.ir_version}, logs the difference and goes on")
    if TensorProto.INT64 in analysis.types and release.before(9):
        yield Finding("", "", NOTE, "INT64 tensors are narrowed to INT32, with clamping")
    for name, size in analysis.shared_names if not release.before(*_NAMED_SIZES) else ():
        yield Finding("", "", WARNING, f"several sizes of input {name!r} are called {size!r}: TensorRT builds and runs "
                                       "it only where these are equal; give each a name of its own, or a number")
    for name in analysis.not_tensors:
        yield Finding("", "", ERROR, f"network input or output {name!r} is a sequence, map or optional, not a tensor")
    if analysis.complaint:
        yield Finding("", "", WARNING, f"ONNX's checker, which the parsers do not ask: {analysis.complaint}")
    if not analysis.typed:
        yield Finding("", "", NOTE, "not checked: tensor types and shapes, which could not be inferred")


def _about_nodes(analysis: Analysis, release: Release) -> Iterator[Finding]:
    found = {numbers: tuple(_about_node(analysis.nodes[numbers[0]], release, analysis)) for numbers in analysis.kinds}
    for number, problems in sorted((number, problems) for numbers, problems in found.items() if problems
                                   for number in numbers):
        node = analysis.nodes[number]
        for severity, reason in problems:
            yield Finding(node.name, node.op, severity, reason)


def _about_node(node: NodeView, release: Release, analysis: Analysis) -> Iterator[tuple[str, str]]:
    opset = analysis.opset
    plugin = plugin_problems(node.op, release, analysis.plugins)
    if node.function:
        if release.before(9, 3):
            yield ERROR, "a local function of the model, which needs 9.3; inline it"
    elif plugin is not None:
        yield from plugin
    elif node.op in release.operators:
        yield from problems_of(node, release)
        yield from importer_problems(node, release)
        yield from builder_problems(node, release)
        yield from type_problems(node, release, opset)
        if opset < BROADCASTING_OPSET and node.op in BROADCASTING:
            yield ERROR, f"{node.op} as it was before opset {BROADCASTING_OPSET}, with other broadcasting"
    elif node.op in release.importer_only:
        yield UNDOCUMENTED, "not in the list of supported operators, though the parser has it"
    elif node.domain != AI_ONNX:
        yield ERROR, f"operator of domain {node.domain!r}; the parser looks for a plugin of that name"
    else:
        yield ERROR, _missing(node.op, release)
    if not node.function and plugin is None and node.domain != AI_ONNX and node.op in release.operators:
        yield UNDOCUMENTED, (f"operator of domain {node.domain!r}; the parser reads it as ONNX's own of that name, "
                        "whose inputs and meaning may differ")


def _missing(op: str, release: Release) -> str:
    first = first_release_with(op)
    if first is None:
        return "not an operator of any documented TensorRT release"
    order = documented_releases()
    if order.index(first) > order.index(release.documented_as):
        return f"not an operator before TensorRT {first}"
    return "not an operator of this release any more"
