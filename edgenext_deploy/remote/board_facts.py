"""Run on a board that is set up: what decides what can be run there, as JSON. No library is imported."""
import json
import sys
from typing import Any, Dict, NamedTuple, Optional

from edgenext_deploy.artifacts.json_records import from_json, to_json
from edgenext_deploy.machine.environment import Environment, present_environment
from edgenext_deploy.machine.installed import find_installed


class BoardFacts(NamedTuple):
    """What decides what can be run on a board.

    Attributes:
        environment: of the machine.
        pycuda: whether it is installed there.
        onnxruntime: version of what is installed there.
    """

    environment: Environment
    pycuda: bool
    onnxruntime: Optional[str]

    @property
    def has_tensorrt(self) -> bool:
        """Whether plans can be built and run."""
        return bool(self.environment.tensorrt and self.environment.compute_capability and self.pycuda)


def present_facts() -> BoardFacts:
    """Return the facts of this machine."""
    runtime = find_installed("onnxruntime")
    return BoardFacts(present_environment(), find_installed("pycuda") is not None,
                      None if runtime is None else runtime.version)


def read_facts(text: str, where: str) -> BoardFacts:
    """Return the facts that `main` printed on another machine.

    Raises:
        BadInputError: it is something else.
    """
    try:
        data: Dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        data = {}
    facts: BoardFacts = from_json(BoardFacts, data, where)
    return facts


def main() -> None:
    """Print the facts."""
    sys.stdout.write(json.dumps(to_json(present_facts())) + "\n")


if __name__ == "__main__":
    main()
