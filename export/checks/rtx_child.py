"""Child process of `rtx`: parse one ONNX file with TensorRT-RTX, build it per GPU generation, write JSON.

The full TensorRT of a machine with a GPU is asked in the same way, to parse alone. This imports only the standard
library and ``tensorrt_rtx`` or ``tensorrt``, so it works from any folder, and a crash inside the native libraries ends
this process and nothing else. The report file is rewritten after every step, so that a crash loses no earlier result.

Usage: python rtx_child.py MODEL.onnx REPORT.json PLAN_FOLDER_OR_EMPTY PACKAGE LARGEST SM [SM ...]
"""
import importlib
import os
import sys
from typing import Any

_MAX_MESSAGES = 50
# A file of 2 GB, as protobuf and the network hold it.
_MOST_BYTES = 8 << 30


def _write(path: str, report: dict[str, Any]) -> None:
    import json

    with open(path + ".tmp", "w", encoding="utf-8") as stream:
        json.dump(report, stream)
    os.replace(path + ".tmp", path)


def _make_logger(trt: Any) -> Any:
    class Collector(trt.ILogger):  # type: ignore[misc]
        """Keeps warnings and errors, each once, in order, and counts the engine's layers that the builder lists."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[str] = []
            self.engine_layers = 0

        def log(self, severity: Any, message: str) -> None:
            if severity == trt.ILogger.VERBOSE:
                self.engine_layers += sum(line.startswith("Name: ") for line in message.splitlines())
            serious = severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING)
            if serious and message not in self.messages and len(self.messages) < _MAX_MESSAGES:
                self.messages.append(message)

    return Collector()


def _build(
    trt: Any, builder: Any, network: Any, logger: Any, sm: str, plan_folder: str, largest: int
) -> dict[str, Any]:
    import time

    logger.messages, logger.engine_layers = [], 0
    result = {"sm": sm, "ok": False, "seconds": 0.0, "plan_bytes": 0, "plan": "",
              "engine_layers": 0, "messages": logger.messages}
    capability = trt.ComputeCapability.__members__.get("SM" + sm)
    if capability is None:
        known = ", ".join(name for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
        logger.messages.append(f"this TensorRT-RTX builds for {known} only")
        return result
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # without it the builder lists no layers
    unknown = [tensor for tensor in map(network.get_input, range(network.num_inputs)) if -1 in tuple(tensor.shape)]
    if unknown:
        # Sizes that are not known are built for 1 up to the largest, and tuned for that.
        profile = builder.create_optimization_profile()
        for tensor in unknown:
            least, most = (tuple(value if size == -1 else max(size, 1) for size in tensor.shape)
                           for value in (1, largest))
            profile.set_shape(tensor.name, least, most, most)
        config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)
    started = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    result["seconds"] = time.perf_counter() - started
    if plan is not None:
        result.update(ok=True, plan_bytes=plan.nbytes, engine_layers=logger.engine_layers)
        if plan_folder:
            result["plan"] = os.path.join(plan_folder, f"sm{sm}.plan")
            with open(result["plan"], "wb") as stream:
                stream.write(plan)
    return result


def _new_network(trt: Any, builder: Any) -> Any:
    """Return an empty network with the batch among its sizes, which releases before 10 must be told."""
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return builder.create_network(0 if explicit is None else 1 << int(explicit))


def _error(error: Any) -> dict[str, str]:
    """Return a parser's error; releases before 10.0 do not tell the node's name and operator."""
    named = hasattr(error, "node_name")
    return {"node": error.node_name() if named else "", "op": error.node_operator() if named else "",
            "reason": error.desc() if named else str(error)}


def _parts(trt: Any, builder: Any, logger: Any, content: bytes, path: str) -> list[list[int]]:
    """Return the parts of the main graph that the parser has nothing against, as numbers of nodes."""
    network = _new_network(trt, builder)  # the parser does not keep it
    parser = trt.OnnxParser(network, logger)
    if not hasattr(parser, "supports_model_v2"):
        return []
    parser.supports_model_v2(content, path)
    return [[int(number) for number in parser.get_subgraph_nodes(index)] for index in range(parser.num_subgraphs)]


def _deciding_shapes(network: Any) -> list[str]:
    """Return the inputs that the builder must be told the values of."""
    return [tensor.name for tensor in map(network.get_input, range(network.num_inputs)) if tensor.is_shape_tensor]


def _limit_memory() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _MOST_BYTES if most == resource.RLIM_INFINITY else min(_MOST_BYTES, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def main(arguments: list[str]) -> None:
    """Parse, build for every SM asked for, and report."""
    model_path, report_path, plan_folder, package, largest = arguments[:5]
    if package == "tensorrt_rtx":  # CUDA, which the full TensorRT starts, maps more than it uses
        _limit_memory()
    report: dict[str, Any] = {
        "stage": f"import of {package}", "available": False, "version": "", "parsed": False, "layers": 0,
        "errors": [], "messages": [], "builds": [], "parts": []}

    def note(**fields: Any) -> None:
        report.update(fields)
        _write(report_path, report)

    note()
    try:
        trt = importlib.import_module(package)
    except (ImportError, OSError) as error:
        note(reason=f"{package} cannot be loaded: {error}")
        return
    note(version=trt.__version__, stage="first call")
    logger = _make_logger(trt)
    try:
        builder = trt.Builder(logger)
    except TypeError:  # what the bindings make of a null pointer
        note(reason=f"{package} {trt.__version__} makes no builder here: {'; '.join(logger.messages[:2])}")
        return
    note(available=True, stage="parse")
    network = _new_network(trt, builder)
    parser = trt.OnnxParser(network, logger)
    with open(model_path, "rb") as stream:
        content = stream.read()
    # The path leads to weights in other files.
    parsed = bool(parser.parse(content, model_path))
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    note(parsed=parsed, messages=list(logger.messages), layers=network.num_layers,
         errors=[_error(error) for error in errors])
    if not parsed:
        note(stage="partition", parts=_parts(trt, builder, logger, content, model_path))
    sms = arguments[5:] if parsed else []
    deciding = _deciding_shapes(network) if sms else []
    if deciding:
        sms = []
        unasked = f"not built: the values of input {deciding[0]!r} decide shapes, and nothing says them"
        note(messages=[*report["messages"], unasked])
    for sm in sms:
        note(stage=f"build for SM{sm}")
        report["builds"].append(_build(trt, builder, network, logger, sm, plan_folder, int(largest)))
    note(stage="done")


if __name__ == "__main__":
    main(sys.argv[1:])
    # TensorRT-RTX may crash while the interpreter shuts down on a machine with no GPU: leave without it.
    os._exit(0)
