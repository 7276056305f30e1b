"""What the manifest says of an exported graph."""
import dataclasses
from typing import TYPE_CHECKING

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Golden, GraphFile, Manifest, Parity, Preprocessing, Scores, TensorSpec
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.rtx import RtxReport
from edgenext_deploy.export.emission import Emitted
from edgenext_deploy.export.precision_step import PrecisionResult
from edgenext_deploy.export.preprocessing_defaults import complete
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.training_choice import TrainingChoice
from edgenext_deploy.export.verdict import judge as verdicts
from edgenext_deploy.export.verdict.findings import summary
from edgenext_deploy.export.weights import Reference
from edgenext_deploy.files import sha256_of_bytes
from edgenext_deploy.networks.labels import load_labels, require_count
from edgenext_deploy.version import __version__

if TYPE_CHECKING:
    from edgenext_deploy.export.verdict.judge import Analysis


@dataclasses.dataclass(frozen=True)
class Network:
    """The network's input and the names of its classes.

    Attributes:
        preprocessing: from a photo to the input.
        labels: names of the classes; empty if they are not known.
        labels_source: where the names come from: a shipped list, a file, or ``none``.
        scores: how a classifier's logits become probabilities; None for the softmax, and for other tasks.
        notes: sentences for the user on what was decided for them.
        warnings: sentences for the user on what may be wrong.
    """

    preprocessing: Preprocessing
    labels: tuple[str, ...]
    labels_source: str
    scores: Scores | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def network_of(resolved: ResolvedExport, reference: Reference, training: TrainingChoice) -> Network:
    """Return preprocessing and labels.

    Raises:
        BadInputError: a labels file that does not fit the number of classes.
        UsageError: a crop that does not go with the input or the task.
    """
    variant = resolved.variant
    _, _, height, width = resolved.shape
    published = PreprocessingOptions(crop_pct=reference.crop_pct)
    said = resolved.preprocessing.over(training.said.over(published))
    preprocessing, notes = complete(
        said, variant, height, width, resolved.fold_normalization or resolved.form.pixels)
    labels, source = _labels_of(resolved, reference, training)
    scores, score_notes = tasks.scores_of(
        resolved.form, reference.num_classes, resolved.activation, resolved.threshold)
    crop_notes = reference.notes if preprocessing.crop_pct == reference.crop_pct else ()
    return Network(preprocessing, labels, source, scores, (*training.notes, *crop_notes, *notes, *score_notes),
                   training.warnings)


def _labels_of(
    resolved: ResolvedExport, reference: Reference, training: TrainingChoice
) -> tuple[tuple[str, ...], str]:
    """Return the names of the classes and where they come from."""
    variant = resolved.variant
    if resolved.task == "features":
        return (), "none"
    if resolved.labels is not None:
        require_count(resolved.labels, reference.num_classes, f"labels file {resolved.labels_source}")
        return resolved.labels, resolved.labels_source
    if training.labels is not None:
        return training.labels, f"{training.source} of the weights file"
    if reference.num_classes == variant.num_classes:
        return load_labels(variant.labels, reference.num_classes), variant.labels
    return (), "none"


@dataclasses.dataclass(frozen=True)
class FinalGraph:
    """The graph that is written.

    Attributes:
        result: the model, and what its nodes compute in.
        content: the model as bytes.
        simplifier_warning: why it was not simplified, None if it was.
    """

    result: PrecisionResult
    content: bytes
    simplifier_warning: str | None


@dataclasses.dataclass(frozen=True)
class Checks:
    """What the checks of the final graph found."""

    analysis: "Analysis"
    parity: Parity
    golden: Golden
    rtx: RtxReport


def describe(
    resolved: ResolvedExport, reference: Reference, network: Network, emitted: Emitted, graph: FinalGraph,
    checks: Checks,
) -> Manifest:
    """Return the manifest of the graph."""
    target, variant, content = resolved.target, resolved.variant, graph.content
    described = Manifest(
        schema=manifests.SCHEMA, toolkit_version=__version__, task=resolved.task, variant=variant.name,
        weights=reference.weights, target=target.name,
        graph=GraphFile(f"{resolved.name}.onnx", sha256_of_bytes(content), len(content), checks.analysis.opset,
                        checks.analysis.ir_version),
        inputs=_with_type(emitted.inputs, resolved.io), outputs=_with_type(emitted.outputs, resolved.io),
        preprocessing=network.preprocessing, labels=network.labels, labels_source=network.labels_source,
        precision=graph.result.precision,
        lowering={"formulation": resolved.formulation.name if resolved.formulation else "as given",
                  "rules": emitted.rules, "nodes": len(graph.result.model.graph.node),
                  "simplified": graph.simplifier_warning is None},
        verdicts=summary(verdicts.judge_every_release(checks.analysis)), parity=checks.parity,
        golden=checks.golden, detection=tasks.detection_of(variant),
        scores=network.scores)
    return described._replace(schema=manifests.schema_needed(described))


def _with_type(specs: tuple[TensorSpec, ...], io: str) -> tuple[TensorSpec, ...]:
    floating = {"fp32": "float32", "fp16": "float16"}[io]
    return tuple(spec._replace(dtype=floating) if spec.dtype == "float32" else spec for spec in specs)
