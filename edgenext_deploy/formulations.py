"""The table of formulations: the forms in which a network can be written, all of which compute the same.

A formulation is one choice on each of a few independent axes. Its name is the layout followed by every choice that is
not that layout's first: ``nchw``, ``tokens-attribute``, ``nchw-scaled-scores``. The rules behind the choices are in
`edgenext_deploy.export.lowering`; docs/formulations.md says what each does and where it is exact.
"""
from typing import Dict, List, NamedTuple, Tuple

from edgenext_deploy.errors import UsageError

# Axis -> choice -> what it does. The first choice is the default.
AXES: Dict[str, Dict[str, str]] = {
    "layout": {
        "nchw": "the residual stream is maps [B, C, H, W]",
        "tokens": "the residual stream is tokens [B * H * W, C]",
    },
    "padding": {
        "node": "a 9x9 convolution is padded by a Pad node",
        "attribute": "a 9x9 convolution pads itself",
    },
    "linear": {
        "conv": "linear layers are 1x1 convolutions (layout nchw)",
        "gemm": "linear layers are Gemms with their bias (layout tokens)",
        "matmul": "linear layers are a MatMul and an Add",
    },
    "norm": {
        "layernorm": "a norm is LayerNormalization where the opset has it and the channels come last, primitives in "
                     "FP32 elsewhere",
        "primitives": "a norm is primitives in FP32",
        "onepass": "a norm is primitives in FP32 that take both statistics from the input",
        "instance": "a norm is InstanceNormalization, with one instance for each token (layout tokens)",
        "channelslast": "a norm of a map is LayerNormalization between two Transposes (layout nchw)",
        "scaled": "norms and attention compute in FP16, on values scaled by powers of two",
    },
    "division": {
        "ahead": "a norm stands in front of its linear layer",
        "behind": "a norm's deviation divides behind its linear layer, a 1x1 convolution that takes the mean away",
    },
    "attention": {
        "qk": "cross-covariance attention divides Q and K by their norms",
        "scores": "cross-covariance attention divides the scores by the norms of Q and K",
    },
}
_LINEAR = {"nchw": ("conv", "matmul"), "tokens": ("gemm", "matmul")}


class Formulation(NamedTuple):
    """One choice on each axis of `AXES`."""

    layout: str = "nchw"
    padding: str = "node"
    linear: str = "conv"
    norm: str = "layernorm"
    division: str = "ahead"
    attention: str = "qk"

    @property
    def name(self) -> str:
        """The layout and every choice that is not its first, joined by ``-``."""
        defaults = _default(self.layout)
        return "-".join([self.layout] + [
            choice for choice, default in zip(self[1:], defaults[1:]) if choice != default])

    def replaced(self, **choices: str) -> "Formulation":
        """Return the formulation with other choices; another layout brings its own linear layers.

        Raises:
            UsageError: choices that do not go together.
        """
        if choices.get("layout", self.layout) != self.layout and "linear" not in choices:
            choices["linear"] = _default(choices["layout"]).linear
        return _possible(self._replace(**choices))


def parse_formulation(name: str) -> Formulation:
    """Return the formulation of a name; the words after the layout may come in any order.

    Raises:
        UsageError: an unknown word, two choices on one axis, or choices that do not go together.
    """
    layout, *words = name.split("-")
    if layout not in AXES["layout"]:
        raise _unknown(name, layout)
    chosen: Dict[str, str] = {}
    for word in words:
        axis = next((axis for axis, choices in AXES.items() if word in choices and axis != "layout"), None)
        if axis is None:
            raise _unknown(name, word)
        if axis in chosen:
            raise UsageError("formulation {!r} has two choices of {}: {} and {}".format(
                name, axis, chosen[axis], word), "leave one of them out")
        chosen[axis] = word
    return _possible(_default(layout)._replace(**chosen))


# For a GPU: fewer kernels, no FP32 island, other kernels for the same product. For a processor: what its fused
# operators take.
_FOR_TENSORRT = (
    "nchw", "nchw-scores", "nchw-scaled", "nchw-scaled-scores", "nchw-behind-scores",
    "nchw-scaled-behind-scores", "nchw-onepass-scores", "nchw-attribute-scaled-scores",
    "nchw-matmul-scaled-scores", "tokens-scaled-scores", "tokens-scores", "tokens-instance-scores")
_FOR_PROCESSORS = (
    "nchw-attribute-channelslast", "tokens-attribute-instance", "nchw-attribute-onepass-scores",
    "nchw-attribute-scores", "tokens-attribute", "tokens-attribute-instance-scores",
    "tokens-attribute-matmul-scores", "nchw-attribute")


def candidates_for(has_gpu: bool, default: str) -> Tuple[str, ...]:
    """Return the names of the formulations worth comparing on a device, its `default` first.

    Args:
        has_gpu: TensorRT runs the graph there; otherwise a processor does.
        default: the name of the target's own formulation.
    """
    names: List[str] = [default, *(_FOR_TENSORRT if has_gpu else _FOR_PROCESSORS)]
    return tuple(sorted(set(names), key=names.index))


def _default(layout: str) -> Formulation:
    return Formulation(layout, linear=_LINEAR[layout][0])


def _possible(formulation: Formulation) -> Formulation:
    """Return the formulation, or raise UsageError if its choices do not go together."""
    layout = formulation.layout
    if formulation.linear not in _LINEAR[layout]:
        raise UsageError("{} linear layers do not go with layout {}".format(formulation.linear, layout),
                         "use {}".format(" or ".join(_LINEAR[layout])))
    for choice in ("channelslast", "behind"):
        if choice in formulation and (layout, formulation.linear) != ("nchw", "conv"):
            raise UsageError("{} is for maps and 1x1 convolutions, and {} {} found".format(
                choice, layout, formulation.linear), "use layout nchw, such as nchw-{}".format(choice))
    if formulation.norm == "instance" and layout != "tokens":
        raise UsageError("norm instance needs the channels last, which layout {} does not have".format(layout),
                         "use layout tokens, such as tokens-instance")
    return formulation


def _unknown(name: str, word: str) -> UsageError:
    axes = "; ".join("{}: {}".format(axis, ", ".join(choices)) for axis, choices in AXES.items())
    return UsageError("formulation {!r}: unknown word {!r}; a name is a layout and further choices, joined by '-' "
                      "({})".format(name, word, axes), "try nchw, tokens-attribute or nchw-scaled-scores")
