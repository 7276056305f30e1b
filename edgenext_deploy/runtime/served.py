"""What the sessions of served models share: the address, the tensors that the server names, one request at a time."""
import abc
import hashlib
import json
import os
import re
import threading
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.artifacts.manifest_limits import MOST_ELEMENTS
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.node_work import product
from edgenext_deploy.runtime.options import RuntimeOptions, check_options
from edgenext_deploy.runtime.session import SessionTimings, require_same_process, session_closed
from edgenext_deploy.runtime.worker import Results, Worker, WorkerSession

_PLACE = r"([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/([A-Za-z0-9_.\-]+)\Z"
# The protocol's names of types.
_TYPES = {"FP32": "float32", "FP16": "float16", "FP64": "float64", "UINT8": "uint8", "INT8": "int8",
          "UINT16": "uint16", "INT16": "int16", "UINT32": "uint32", "INT32": "int32", "UINT64": "uint64",
          "INT64": "int64", "BOOL": "bool"}
TYPE_NAMES = {dtype: name for name, dtype in _TYPES.items()}
# The size of a batch that the server decides.
_OPEN = -1
# How long a server may say nothing.
LIMIT_S = 30.0


class Address(NamedTuple):
    """Where a model is served: a name or number of a host, a port, and the model's name."""

    host: str
    port: int
    model: str

    @property
    def server(self) -> str:
        """Host and port as one word."""
        return "{}:{}".format(self.host, self.port)


def parse_address(engine: str, scheme: str, service: str) -> Address:
    """Return the parts of an address.

    Args:
        engine: such as ``triton://127.0.0.1:8000/xxs``.
        scheme: with which it begins.
        service: the server's service whose port it is, in words.

    Raises:
        UsageError: not an address.
    """
    match = re.match(re.escape(scheme) + _PLACE, engine)
    if match is None or not 0 < int(match.group(2)) < 65536:
        raise UsageError("not the address of a served model: {!r}".format(shown(engine)), address_fix(scheme, service))
    return Address(match.group(1), int(match.group(2)), match.group(3))


def address_fix(scheme: str, service: str) -> str:
    """Return how an address is written."""
    return "write {}HOST:PORT/MODEL, with the port of the server's {} service".format(scheme, service)


class ServedSession(WorkerSession):
    """A model of a server; one connection, one request at a time.

    Where the server decides the batch, a request has one image. A subclass says how to ask: it connects in
    `_connect`, before anything else is called.

    Attributes:
        sha256: of what the server says of itself and of the model.

    Args:
        engine: the address.
        options: none of it matters: the server decides how the model runs.
    """

    def __init__(self, engine: str, *, options: RuntimeOptions = RuntimeOptions()) -> None:  # noqa: B008 - immutable
        check_options(options)
        self._address, self._closed, self._pid = engine, False, os.getpid()
        self._lock = threading.Lock()
        self._place = self._connect(engine)
        self._worker = Worker()
        try:
            self._describe(*self._metadata(self._place.model))
        except BaseException:
            self._hang_up()
            raise

    def _describe(self, server: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        """Take over what the server says of itself and of the model."""
        extensions = server.get("extensions")
        self._extensions = extensions if isinstance(extensions, list) else []
        self._version = "{} {}".format(shown(str(server.get("name"))), shown(str(server.get("version"))))
        self.sha256 = hashlib.sha256(json.dumps([server, model], sort_keys=True).encode("utf-8")).hexdigest()
        self.inputs, self.outputs = self._specs("inputs", model), self._specs("outputs", model)
        if len(self.inputs) != 1 or not self.outputs:
            raise IncompatibleError("{}: one input and at least one output expected, {} and {} found".format(
                self._address, len(self.inputs), len(self.outputs)), "name another model")

    @abc.abstractmethod
    def _connect(self, engine: str) -> Address:
        """Take the address apart and prepare the connection."""

    @abc.abstractmethod
    def _metadata(self, name: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """Return what the server says of itself and of the model, as JSON data."""

    @abc.abstractmethod
    def _ask_for(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run one request."""

    @abc.abstractmethod
    def _hang_up(self) -> None:
        """Close the connection."""

    def describe(self) -> Dict[str, Any]:
        """Return runtime, the server's name and version, and where it is; what it runs on, it does not say."""
        return {"runtime": "triton", "version": self._version, "provider": self._place.server, "threads": None,
                "served": True}

    def close(self) -> None:
        """Wait for running requests, drop their answers, and hang up."""
        if os.getpid() != self._pid:  # a fork has no thread to wait for, and the connection is not its own
            return
        self._closed = True
        self._worker.close()
        with self._lock:
            self._hang_up()

    def _require_open(self) -> None:
        require_same_process(self._address, self._pid)
        if self._closed:
            raise session_closed(self._address)

    def _run(self, image: np.ndarray) -> Results:
        start = time.perf_counter()
        with self._lock:
            self._require_open()
            outputs = self._ask_for(image)
        return outputs, SessionTimings(wall_ms=(time.perf_counter() - start) * 1e3)

    def _specs(self, side: str, model: Mapping[str, Any]) -> Tuple[TensorSpec, ...]:
        tensors: List[Any] = model[side] if isinstance(model.get(side), list) else []
        specs = []
        for tensor in tensors:
            described = tensor if isinstance(tensor, dict) else {}
            name, kind = described.get("name"), described.get("datatype")
            shape: Any = described.get("shape")
            if isinstance(shape, list) and len(shape) > 1 and shape[0] == _OPEN:
                shape = [1, *shape[1:]]
            if not (isinstance(name, str) and isinstance(kind, str) and kind in _TYPES and _is_fixed(shape)):
                raise IncompatibleError("{}: {} with fixed sizes behind the batch and a type of numpy expected, "
                                        "found {}".format(self._address, side, shown(json.dumps(tensor))),
                                        "serve a model of which only the batch is open")
            specs.append(TensorSpec(name, tuple(shape), _TYPES[kind]))
        return tuple(specs)


def _is_fixed(shape: Any) -> bool:
    """Return whether JSON data is the shape of a tensor that fits into memory."""
    return (isinstance(shape, list) and bool(shape) and all(type(size) is int and size > 0 for size in shape)
            and product(shape) <= MOST_ELEMENTS)
