"""One node of a graph as the emulation sees it."""
import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from edgenext_deploy.errors import IncompatibleError

Operands = list[Tensor]


@dataclasses.dataclass(frozen=True)
class Step:
    """One node of the graph. `index` is its place in topological order; an absent optional input is ``""``."""

    index: int
    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute's value."""
        return self.attributes.get(attribute, default)


def optional(step: Step, operands: Operands, index: int) -> Tensor | None:
    """Return an input by its place in the operator's list, None where it is left out: `operands` have no gaps."""
    if index >= len(step.inputs) or not step.inputs[index]:
        return None
    return operands[sum(bool(name) for name in step.inputs[:index])]


def refusal(step: Step, what: str) -> IncompatibleError:
    """Return the error for something that cannot be emulated."""
    return IncompatibleError(
        f"the FP16 emulation does not know {what}, found at node {step.name!r}",
        "export without --drift and --auto-pin")
