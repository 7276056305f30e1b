"""Which power mode a Jetson is in."""
from typing import Optional

from edgenext_deploy.benchmarks.hardware.state import PowerMode
from edgenext_deploy.machine.power_mode import NVPMODEL_CONF, NVPMODEL_STATUS, mode_names, mode_number, mode_of_command
from edgenext_deploy.machine.tree import Tree

_COMMAND = ("nvpmodel", "-q")


def power_mode(tree: Tree) -> Optional[PowerMode]:
    """Return the power mode; None where there is none, or where neither the status file nor nvpmodel says it."""
    names = mode_names(tree.text(NVPMODEL_CONF))
    number = mode_number(tree.text(NVPMODEL_STATUS))
    if number is not None:
        return PowerMode(names.get(number), number, NVPMODEL_STATUS)
    said = mode_of_command(tree.output_of(_COMMAND) or "") if names else None
    return PowerMode(said.name, said.number, " ".join(_COMMAND)) if said is not None else None
