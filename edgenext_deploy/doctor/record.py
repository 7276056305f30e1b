"""The records of a diagnosis."""
from typing import NamedTuple, Optional, Tuple

# A problem stops or spoils something that this machine should do; a note is worth knowing, and is also what
# could not be found out: unknown is never ok.
OK, PROBLEM, NOTE = "ok", "problem", "note"


class Check(NamedTuple):
    """One line of the diagnosis.

    Attributes:
        name: what was looked at, such as ``numpy``.
        status: ``ok``, ``problem`` or ``note``.
        found: what is there, in words.
        fix: the commands that repair it; None where there is nothing to do.
    """

    name: str
    status: str
    found: str
    fix: Optional[str] = None


class Route(NamedTuple):
    """One way of running a network.

    Attributes:
        name: ``onnxruntime`` or ``tensorrt``.
        possible: everything it needs was seen to work.
        missing: names of the checks that it lacks.
    """

    name: str
    possible: bool
    missing: Tuple[str, ...]


class Export(NamedTuple):
    """Whether networks can be exported.

    Attributes:
        possible: everything that exports need was seen to work.
        missing: what they lack here.
        fix: the command that makes them possible; None where they are.
    """

    possible: bool
    missing: Tuple[str, ...]
    fix: Optional[str]


class Diagnosis(NamedTuple):
    """All checks, and what follows from them."""

    checks: Tuple[Check, ...]
    routes: Tuple[Route, ...]
    export: Export

    @property
    def possible(self) -> bool:
        """Whether inference is possible by some route."""
        return any(route.possible for route in self.routes)
