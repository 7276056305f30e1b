"""Which parameters an export uses: a file, the published ones, or seeded random ones."""
from collections.abc import Callable
from pathlib import Path

from torch import nn

from edgenext_deploy.artifacts.manifest import Weights
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.checkpoint import LoadedWeights, apply, digest_of, load_checkpoint
from edgenext_deploy.models.download import fetch
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.reference import reference_module
from edgenext_deploy.models.registry import Variant


def load_weights(
    variant: Variant, request: ExportRequest, progress: Callable[[str], None]
) -> tuple[nn.Module, Weights, float, int]:
    """Return the reference module with its parameters, where they came from, the crop they expect, and the classes.

    The crop is that of the published evaluation if the file has a published file's name, otherwise the
    variant's. The number of classes is the request's, else the file's, else the variant's. Random
    parameters are all far from neutral, see `models.factory.randomise`.

    Raises:
        BadInputError: the file does not fit the variant or the number of classes.
        UsageError: ``--pretrained`` where nothing is published.
        MissingRuntimeError: ``--pretrained`` without a network.
    """
    path = request.weights
    if request.pretrained:
        if not variant.checkpoints:
            raise UsageError(f"no weights are published for {variant.name}", "give a file: --weights FILE")
        progress(f"fetching {variant.checkpoints[0].file}")
        path = fetch(variant)
    if path is None:
        model = randomise(reference_module(variant, request.num_classes, request.seed), request.seed)
        source, crop_pct = f"random weights (seed {request.seed})", variant.crop_pct
        classes = request.num_classes or variant.num_classes
    else:
        loaded = _load(path, variant, request)
        classes = loaded.num_classes
        model = reference_module(variant, classes)
        apply(model, loaded)
        source = f"{Path(path).name} ({loaded.container}, {loaded.layout} layout)"
        crop_pct = next(
            (known.crop_pct for known in variant.checkpoints if known.file == Path(path).name), variant.crop_pct)
    return model.eval(), Weights(source, path is None, digest_of(model.state_dict())), crop_pct, classes


def _load(path: str, variant: Variant, request: ExportRequest) -> LoadedWeights:
    try:
        return load_checkpoint(path, variant, request.num_classes)
    except BadInputError as error:
        if not request.pretrained or request.num_classes not in (None, variant.num_classes):
            raise
        # A proxy's page came instead, or the disk lost some of it: as long as it lies there, nothing is fetched.
        raise BadInputError(error.message, f"remove {path} and run the same command again") from error
