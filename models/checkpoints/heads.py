"""A classifier's last layer under the names that people's own heads give it."""
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.models.checkpoints.bookkeeping import is_bookkeeping

# Of a layer beside a backbone; a projector, say, is none.
_CLASSIFIER = re.compile(r"(?:^|[._])(?:head|fc|cls|classifier|linear|logits|output)(?:[._]?\d+)?$")
_SEVERAL = re.compile(r"(?:^|\.)(?:parametrizations\.(\w+)\.\w+|(\w+)_(?:g|v|orig|mask))$")


def straightened(
    found: Mapping[str, Tensor], class_weight: str
) -> tuple[dict[str, Tensor], list[str], BadInputError | None]:
    """Find the linear layer of a head and name it as the reference module does.

    One layer with parameters is taken wherever it stands below the head: ``head.1`` of a Sequential with a dropout,
    ``head.fc``. A 1x1 convolution is the same layer. A missing bias is zero.

    Args:
        found: parameters, all but the head's under the reference module's names.
        class_weight: the reference module's name of the layer's weight.

    Returns:
        The parameters, sentences on what was changed, and why the head cannot be taken: None if it can.
    """
    layer = class_weight.rsplit(".", 1)[0]
    bias, taken = layer + ".bias", dict(found)
    notes: list[str] = []
    if class_weight not in taken:
        below = [name for name in taken if name.startswith(layer + ".") and name != bias]
        several = next((match for match in map(_SEVERAL.search, below) if match), None)
        if several:
            return taken, notes, BadInputError(
                f"its {layer}.{several[1] or several[2]} is parametrized (weight norm, spectral norm or pruning), "
                f"so the file has its parts ({below[0]}) and not the weight itself",
                f"make it one weight before saving: torch.nn.utils.parametrize.remove_parametrizations(model.{layer}, "
                "'weight'), or remove_weight_norm or prune.remove")
        layers = sorted({name.rsplit(".", 1)[0] for name in below})
        if not layers:
            return taken, notes, BadInputError(
                f"it is a backbone without a head: it has no {class_weight}",
                "save the state_dict() of the whole classifier, or load it with edgenext_deploy.models.load_backbone")
        if len(layers) > 1:
            return taken, notes, BadInputError(
                f"its head has {len(layers)} layers with parameters ({', '.join(layers[:3])}), one linear layer "
                f"({class_weight}) expected", "train a head of one linear layer")
        (inner,) = layers
        if inner + ".weight" not in taken:
            return taken, notes, BadInputError(
                f"its head has no weight: {', '.join(below[:3])} found, {class_weight} expected")
        for leaf in ("weight", "bias"):
            if f"{inner}.{leaf}" in taken:
                taken[f"{layer}.{leaf}"] = taken.pop(f"{inner}.{leaf}")
        notes.append(f"{inner} taken as the linear layer of the head, with nothing but dropout around it")
    weight = taken[class_weight]
    if weight.dim() == 4 and weight.shape[2:] == (1, 1):
        taken[class_weight] = weight = weight.flatten(1)
        notes.append(f"the 1x1 convolution {layer} taken as a linear layer")
    if weight.dim() != 2:
        return taken, notes, BadInputError(
            f"its {class_weight} is {list(weight.shape)}, the weight of a linear layer expected")
    if bias not in taken:
        taken[bias] = torch.zeros(weight.shape[0])
        notes.append(f"the head is without a bias: {bias} is zero")
    return taken, notes, None


def head_beside(found: Iterable[str], class_weight: str, beside: Iterable[str]) -> dict[str, str]:
    """Return the classifier that lies beside a backbone, as in a module of one's own: our names with the file's.

    It is taken if it is the one layer there and is called a classifier; anything else may belong to another network.

    Args:
        found: names of the parameters, the reference module's.
        class_weight: the reference module's name of the weight of its last layer.
        beside: names of what lies next to the network, see `TensorSet.beside`.
    """
    layer = class_weight.rsplit(".", 1)[0]
    others = [name for name in beside if not is_bookkeeping(name, ())]
    if not others or any(name.startswith(layer + ".") for name in found):
        return {}
    outer = others[0].rsplit(".", 1)[0]
    leaves = {name[len(outer) + 1:] for name in others if name.startswith(outer + ".")}
    if len(leaves) < len(others) or not {"weight"} <= leaves <= {"weight", "bias"} or not _CLASSIFIER.search(outer):
        return {}
    return {f"{layer}.{leaf}": f"{outer}.{leaf}" for leaf in leaves}


def other_channels(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> BadInputError | None:
    """Return the error for a network that was trained on images without three channels, None for any other."""
    for name, tensor in expected.items():
        if (tensor.dim() == 4 and tensor.shape[1] == 3 and name in found and found[name].dim() == 4
                and found[name].shape[1] != 3 and found[name].shape[::2] == tensor.shape[::2]):
            channels = found[name].shape[1]
            fix = "train on RGB images"
            if channels == 1:
                fix += (", or, for grey images as RGB, save it with three equal channels: state[NAME] = "
                        "state[NAME].repeat(1, 3, 1, 1) / 3")
            return BadInputError(
                f"it was trained on images of {channels} channel{'s' * (channels > 1)}, 3 expected: its first "
                f"convolution {name} is {list(found[name].shape)}", fix)
    return None
