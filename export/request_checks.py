"""What holds for the options of every command that writes an export."""
from collections.abc import Mapping, Sequence
from typing import Any

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.limits import TOLERANCE


def require_allowed(
    given: Any, choices: Mapping[str, Sequence[str]], ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Raise UsageError if a request has a value that does not exist, or one beyond its range.

    Args:
        given: the request; None in a field stands for the default.
        choices: fields, and what they may be.
        ranges: fields, and their smallest and largest value.
    """
    for name, allowed in choices.items():
        value = getattr(given, name)
        if value is not None and value not in allowed:
            raise UsageError(f"{name} {value!r} found, {' or '.join(allowed)} expected", f"leave {name} out")
    for name, (low, high) in ranges.items():
        value = getattr(given, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} {value} found, {low} to {high} expected", f"leave {name} out")


def require_fp16_to_analyse(given: Any) -> None:
    """Raise UsageError if a request has `drift`, `auto_pin`, `samples` or `tolerance` without what they need."""
    if (given.drift or given.auto_pin) and not given.fp16:
        raise UsageError("--drift and --auto-pin analyse FP16, and --fp16 is missing", "add --fp16")
    if given.samples is not None and not (given.drift or given.auto_pin):
        raise UsageError("--samples are the photos of --drift and --auto-pin, and both are missing", "add --drift")
    if given.tolerance != TOLERANCE and not given.auto_pin:
        raise UsageError("--tolerance is the error that --auto-pin allows, and --auto-pin is missing",
                         "add --auto-pin, or leave --tolerance out")
