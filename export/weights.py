"""Which parameters an export uses: a file, the published ones, or seeded random ones."""
from collections.abc import Callable
from pathlib import Path

from torch import nn

from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.manifest import Weights
from edgenext_deploy.models.checkpoint import apply, digest_of, load_checkpoint
from edgenext_deploy.models.download import fetch
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.registry import Variant


def load_weights(
    variant: Variant, request: ExportRequest, progress: Callable[[str], None]
) -> tuple[nn.Module, Weights, float]:
    """Return the reference module with its parameters, where they came from, and the crop they expect.

    The crop is that of the published evaluation if the file has a published file's name, otherwise the
    variant's. Random parameters are all far from neutral, see `models.factory.randomise`.

    Raises:
        BadInputError: the file does not fit the variant or the number of classes.
        MissingRuntimeError: ``--pretrained`` without a network.
    """
    path = request.weights
    if request.pretrained:
        progress(f"fetching {variant.checkpoints[0].file}")
        path = fetch(variant)
    model = create_model(variant.name, request.num_classes, request.seed)
    if path is None:
        randomise(model, request.seed)
        source, crop_pct = f"random weights (seed {request.seed})", variant.crop_pct
    else:
        loaded = load_checkpoint(path, variant, request.num_classes)
        apply(model, loaded)
        source = f"{Path(path).name} ({loaded.container}, {loaded.layout} layout)"
        crop_pct = next(
            (known.crop_pct for known in variant.checkpoints if known.file == Path(path).name), variant.crop_pct)
    return model.eval(), Weights(source, path is None, digest_of(model.state_dict())), crop_pct
