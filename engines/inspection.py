"""What a plan is, and whether it would run on a machine. Nothing of it is run."""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import plan_check
from edgenext_deploy.artifacts.engine_file import open_plan
from edgenext_deploy.artifacts.json_records import to_json
from edgenext_deploy.artifacts.plan_check import Environment, PlanHeader, PlanRecord
from edgenext_deploy.errors import EdgeNextError


class Inspection(NamedTuple):
    """What is known of a plan.

    Attributes:
        path: path of the plan.
        header: what its first bytes say.
        record: its sidecar; None unless it is there and describes exactly this plan.
        problem: why the plan would not run here; None if it would.
        warnings: what to know although it would run.
    """

    path: str
    header: PlanHeader
    record: Optional[PlanRecord]
    problem: Optional[EdgeNextError]
    warnings: Tuple[str, ...]

    @property
    def runs_here(self) -> bool:
        """Whether the plan would run on the machine."""
        return self.problem is None

    def to_json(self) -> Dict[str, Any]:
        """Return the inspection as JSON data."""
        problem = self.problem
        return {
            "file": self.path, "header": to_json(self.header), "sidecar": to_json(self.record),
            "runs_here": self.runs_here, "exit_code": 0 if problem is None else problem.exit_code,
            "reason": None if problem is None else problem.message, "fix": None if problem is None else problem.fix,
            "warnings": list(self.warnings)}


def inspect_plan(path: str, *, trust: bool = False, environment: Optional[Environment] = None) -> Inspection:
    """Return what a plan is and whether it would run on a machine. Needs neither a GPU nor TensorRT.

    Args:
        path: path of the plan.
        trust: judge a plan without a sidecar by its header alone.
        environment: the machine; by default this one.

    Raises:
        BadInputError: it is no plan at all. Every other problem is in the result.
    """
    machine = plan_check.present_environment() if environment is None else environment
    header: Optional[PlanHeader] = None
    record: Optional[PlanRecord] = None
    problem: Optional[EdgeNextError] = None
    try:
        plan = open_plan(path, trust=trust)
        header, record = plan.plan_header(), plan.record
        plan_check.require_fit(path, header, record, machine)
    except EdgeNextError as error:
        header, problem = header or plan_check.read_header(path), error
    warnings = plan_check.warnings_of(record, machine) if record is not None and problem is None else ()
    return Inspection(path, header, record, problem, warnings)
