"""The time of every layer of an engine, from what its runtime's profiler reports."""
import re
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from edgenext_deploy.errors import VerificationError

# What ONNX Runtime adds to the name of a node: the event's kind, its blocked layout, and a number where names of
# its own nodes would collide.
_EVENT = "_kernel_time"
_SUFFIX = re.compile(r"(_nchwc|_token_\d+|_fused)+$")


class LayerTime(NamedTuple):
    """One layer as the runtime executes it: several nodes of the graph may be fused in it.

    Attributes:
        name: the runtime's; ONNX Runtime's suffixes are taken off.
        operator: ONNX Runtime's, such as ``Conv`` or ``ReorderInput``; empty for TensorRT, which has none.
        ms: median over the runs, milliseconds.
    """

    name: str
    operator: str
    ms: float


class LayerTimes(NamedTuple):
    """Every layer of an engine in the order of execution.

    Attributes:
        layers: see `LayerTime`.
        runs: profiled inferences.
        wall_ms: median of what the caller waited for one of them; the profiler's own cost is in it.
        session: of the profiled session, as `Session.describe` gives it.
    """

    layers: Tuple[LayerTime, ...]
    runs: int
    wall_ms: float
    session: Dict[str, Any]


def layers_of_trace(events: Sequence[Dict[str, Any]], inferences: int, warmup: int) -> Tuple[LayerTime, ...]:
    """Return the layers of ONNX Runtime's trace.

    Args:
        events: of the trace, in order.
        inferences: that it holds.
        warmup: how many of them, the first, are left out.

    Raises:
        VerificationError: the events cannot be divided among the inferences.
    """
    nodes = [event for event in events if event.get("cat") == "Node" and str(event.get("name")).endswith(_EVENT)]
    count, rest = divmod(len(nodes), inferences)
    if rest or not count:
        raise VerificationError("ONNX Runtime's trace has {} events of nodes, which {} inferences do not share".format(
            len(nodes), inferences), "profile again; an ONNX Runtime that writes other traces needs a newer toolkit")
    names = [_named(event) for event in nodes[:count]]
    times_us = np.array([float(event["dur"]) for event in nodes]).reshape(inferences, count)[warmup:]
    medians_ms = np.median(times_us, axis=0) / 1e3
    return tuple(LayerTime(name, operator, float(ms)) for (name, operator), ms in zip(names, medians_ms))


def layers_of_reports(reports: Sequence[Sequence[Tuple[str, float]]]) -> Tuple[LayerTime, ...]:
    """Return the layers of what TensorRT's profiler reported.

    Args:
        reports: name and milliseconds of each layer, for each inference.

    Raises:
        VerificationError: not every inference reported the same layers.
    """
    names = [name for name, _ in reports[0]]
    if not names or any([name for name, _ in report] != names for report in reports):
        raise VerificationError("TensorRT's profiler reported {} layers in the first inference, and not the same in "
                                "all of {}".format(len(names), len(reports)), "profile again")
    medians_ms = np.median(np.array([[ms for _, ms in report] for report in reports]), axis=0)
    return tuple(LayerTime(name, "", float(ms)) for name, ms in zip(names, medians_ms))


def make_profiler(trt: Any) -> Any:
    """Return an ``IProfiler`` that keeps what it is told: ``runs``, a list for every ``begin()``."""

    class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]  # the base exists only once tensorrt is imported
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.runs: List[List[Tuple[str, float]]] = []

        def begin(self) -> None:
            self.runs.append([])

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            if self.runs:  # else of another thread's inference
                self.runs[-1].append((layer_name, ms))

    return Profiler()


def _named(event: Dict[str, Any]) -> Tuple[str, str]:
    name = str(event["name"])[:-len(_EVENT)]
    return _SUFFIX.sub("", name), str(event.get("args", {}).get("op_name", ""))
