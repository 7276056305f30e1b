"""Temperatures and power mode for the page, read only while somebody looks."""
import time
from typing import Any, Callable, Dict

from edgenext_deploy.machine.power_mode import present_mode
from edgenext_deploy.machine.thermal_zones import temperatures_c, thermal_zones
from edgenext_deploy.machine.tree import Tree

# nvpmodel, where the status file is not enough, is a process of its own.
_TEMPERATURES_EVERY_S, _MODE_EVERY_S = 2.0, 60.0


class Board:
    """What the machine's files say of its state; used by one thread at a time.

    Args:
        tree: the machine's files.
        clock: returns seconds.
    """

    def __init__(self, tree: Tree, clock: Callable[[], float] = time.monotonic) -> None:
        self._tree, self._clock = tree, clock
        self._zones = thermal_zones(tree)
        self._temperatures_c: Dict[str, float] = {}
        self._mode: Any = None
        self._temperatures_at = self._mode_at = -1e9

    def document(self) -> Dict[str, Any]:
        """Return `temperatures_c`, by zone, and `power_mode`, None where there is none."""
        now = self._clock()
        if now - self._temperatures_at >= _TEMPERATURES_EVERY_S:
            self._temperatures_at, self._temperatures_c = now, temperatures_c(self._tree, self._zones)
        if now - self._mode_at >= _MODE_EVERY_S:
            self._mode_at, self._mode = now, present_mode(self._tree)
        mode = self._mode
        return {"temperatures_c": self._temperatures_c,
                "power_mode": None if mode is None else mode.name or "mode {}".format(mode.number)}
