"""Where the time of an inference goes: an engine's layers summed by part of the network and by kind."""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.latency.any_graph import Shapes
from edgenext_deploy.benchmarks.latency.engines import open_engine, require_used
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.node_names import (
    KINDS,
    OTHER,
    SEVERAL,
    NetworkPart,
    kind_of,
    kind_of_several,
    part_of,
    part_of_several,
)
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.profile import LayerTime, LayerTimes
from edgenext_deploy.tensorrt_api.engine_layers import nodes_in_name

KIND = "profile"
SCHEMA = 1
# Time that the runtime spends on its own node for the one that comes after it.
_FOR_THE_NEXT = ("ReorderInput",)


class Layer(NamedTuple):
    """A layer as the runtime executes it.

    Attributes:
        name: the runtime's.
        operator: ONNX Runtime's; empty for TensorRT.
        kind: one of `node_names.KINDS`; a fused layer is of its heaviest node's kind.
        stage: such as ``stages.2``; ``several`` when it is fused of nodes of more than one.
        block: such as ``stages.2.5``.
        ms: median over the runs.
    """

    name: str
    operator: str
    kind: str
    stage: str
    block: str
    ms: float


class Share(NamedTuple):
    """A sum over layers: milliseconds, and of all layers' time the part between 0 and 1."""

    name: str
    layers: int
    ms: float
    share: float


class Profile(NamedTuple):
    """A profile.

    Attributes:
        kind: always ``profile``.
        schema: version of the format.
        engine: the engine file.
        model: the network, from the manifest; None without a manifest.
        session: runtime, version, provider and threads.
        runs: number of profiled inferences.
        wall_ms: median of the caller's time, with the profiler's cost; not a latency to report.
        layers: the layers in the order of execution.
        by_kind: sums, the largest first.
        by_stage: sums in the order of the network.
        by_block: sums in the order of the network.
    """

    kind: str
    schema: int
    engine: latency_report.EngineFile
    model: Optional[latency_report.Model]
    session: Dict[str, Any]
    runs: int
    wall_ms: float
    layers: Tuple[Layer, ...]
    by_kind: Tuple[Share, ...]
    by_stage: Tuple[Share, ...]
    by_block: Tuple[Share, ...]

    @property
    def layers_ms(self) -> float:
        """The sum of the layers' times."""
        return sum(layer.ms for layer in self.layers)


def read(path: str) -> Profile:
    """Read a profile that ``edgenext-bench profile --json`` wrote.

    Raises:
        BadInputError: missing, not JSON, no profile, one without layers or sums, or a field that is missing or of
            another type.
    """
    fix = "give a file that edgenext-bench profile --json FILE wrote"
    data = json_records.read_file(path, "profile", fix)
    if (data.get("kind"), data.get("schema")) != (KIND, SCHEMA):
        raise BadInputError("{}: not a profile of schema {}".format(path, SCHEMA), fix)
    profile = json_records.from_json(Profile, data, path)
    for name in ("layers", "by_kind", "by_stage", "by_block"):
        if not getattr(profile, name):
            raise BadInputError("{}: {} is empty".format(path, name), fix)
    return profile


def profile_engine(path: str, runs: int = 20,
                   runtime: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
                   shapes: Optional[Shapes] = None, all_shapes_used: bool = True) -> Profile:
    """Profile an engine file.

    Args:
        path: ``.onnx`` or a plan.
        runs: inferences to take the median of.
        runtime: how to run the engine.
        shapes: see `open_engine`.
        all_shapes_used: refuse a shape of an input that the engine lacks.

    Raises:
        UsageError: an input's size is open and `shapes` does not fix it.
        BadInputError: a file that is missing or broken.
        IncompatibleError: the plan was built for another machine.
        MissingRuntimeError: the runtime is not installed, or there is no GPU for a plan.
        VerificationError: the profiler's answers contradict each other.
    """
    with open_engine(path, os.path.basename(path), runtime, shapes=shapes) as engine:
        if all_shapes_used:
            require_used(shapes or {}, [engine])
        return summed(engine.session.profile_layers(engine.image, runs=runs), engine.file, engine.model)


def summed(times: LayerTimes, engine: latency_report.EngineFile, model: Optional[latency_report.Model]) -> Profile:
    """Return the profile of timed layers."""
    layers = located(times.layers)
    return Profile(
        KIND, SCHEMA, engine, model, times.session, times.runs, times.wall_ms, layers,
        tuple(sorted(_shares(layers, [layer.kind for layer in layers]),
                     key=lambda share: (-share.ms, KINDS.index(share.name)))),
        tuple(_shares(layers, [layer.stage for layer in layers])),
        tuple(_shares(layers, [layer.block for layer in layers])))


def located(times: Sequence[LayerTime]) -> Tuple[Layer, ...]:
    """Return the layers with their place in the network.

    A runtime's own nodes (a reordering, a fused activation) have names without a word of the network. They belong
    to the node before them, or, where they prepare its input, to the one behind them.
    """
    found: List[Layer] = []
    places: List[Optional[NetworkPart]] = []
    for layer in times:
        nodes = (layer.name,) if layer.operator else nodes_in_name(layer.name)
        places.append(part_of(layer.name) if layer.operator else part_of_several(nodes))
        kind = kind_of(layer.name, layer.operator) if layer.operator else _kind_of_fused(layer.name, nodes)
        found.append(Layer(layer.name, layer.operator, kind, "", "", layer.ms))
    return tuple(layer._replace(stage=place.stage, block=place.block)
                 for layer, place in zip(found, _filled(times, places)))


def _kind_of_fused(name: str, nodes: Sequence[str]) -> str:
    if name.startswith("Reformatting CopyNode"):
        return kind_of(name)
    named = [node for node in nodes if part_of(node) is not None]
    return kind_of_several(named) if named else OTHER


def _filled(times: Sequence[LayerTime], places: Sequence[Optional[NetworkPart]]) -> List[NetworkPart]:
    following: List[Optional[NetworkPart]] = []
    later: Optional[NetworkPart] = None
    for place in reversed(places):
        later = place or later
        following.insert(0, later)
    filled: List[NetworkPart] = []
    earlier: Optional[NetworkPart] = None
    for layer, place, behind in zip(times, places, following):
        chosen = place or (behind if layer.operator in _FOR_THE_NEXT else None) or earlier or behind
        filled.append(chosen or NetworkPart(OTHER, OTHER))
        # A layer that spans the network says nothing about the place of the one behind it.
        if place is not None and place.stage != SEVERAL:
            earlier = place
    return filled


def _shares(layers: Sequence[Layer], names: Sequence[str]) -> List[Share]:
    total_ms = sum(layer.ms for layer in layers)
    sums: Dict[str, List[float]] = {}
    for layer, name in zip(layers, names):
        sums.setdefault(name, []).append(layer.ms)
    return [Share(name, len(values), sum(values), sum(values) / total_ms if total_ms else 0.0)
            for name, values in sums.items()]
