"""The session of a served model: KServe's open inference protocol, version 2, over HTTP, as Triton and others speak it.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; tensors as bytes
are its extension "binary_tensor_data" (Triton's protocol/extension_binary_data.md). A server without it gets JSON.
Nothing is encrypted and nobody is asked who he is: for a server on this machine or in a network that is trusted.
"""
import hashlib
import http.client
import json
import re
import threading
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.runtime.options import RuntimeOptions, check_options
from edgenext_deploy.runtime.session import Session, SessionTimings, session_closed
from edgenext_deploy.runtime.worker import Results, Worker

_ADDRESS = re.compile(r"triton://([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/([A-Za-z0-9_.\-]+)\Z")
_FIX = "write triton://HOST:PORT/MODEL, with the port of the server's HTTP service"
_TYPES = {"FP32": "float32", "FP16": "float16", "FP64": "float64", "UINT8": "uint8", "INT8": "int8",
          "UINT16": "uint16", "INT16": "int16", "UINT32": "uint32", "INT32": "int32", "UINT64": "uint64",
          "INT64": "int64", "BOOL": "bool"}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_BINARY = "binary_tensor_data"
_HEADER_LENGTH = "Inference-Header-Content-Length"
_LIMIT_S = 30.0
_MOST_BYTES, _PIECE_BYTES = 1 << 29, 1 << 16


class KServeSession(Session):
    """A model of a server, such as ``triton://127.0.0.1:8000/xxs``; one connection, one request at a time.

    Args:
        engine: the address.
        options: none of it matters: the server decides how the model runs.

    Raises:
        BadInputError: the server answers with what no server of this protocol would.
        IncompatibleError: a model with open sizes, several inputs, or types that numpy lacks.
        MissingRuntimeError: nobody answers there, or there is no such model.
        UsageError: not an address.
    """

    def __init__(self, engine: str, *, options: RuntimeOptions = RuntimeOptions()) -> None:  # noqa: B008 - immutable
        check_options(options)
        match = _ADDRESS.match(engine)
        if match is None or not 0 < int(match.group(2)) < 65536:
            raise UsageError("not the address of a served model: {!r}".format(shown(engine)), _FIX)
        self._address = engine
        self._server, self._model = "{}:{}".format(*match.groups()[:2]), match.group(3)
        self._path = "/v2/models/{}".format(self._model)
        self._lock = threading.Lock()
        self._closed = False
        self._connection = http.client.HTTPConnection(match.group(1).strip("[]"), int(match.group(2)), timeout=_LIMIT_S)
        self._worker = Worker()
        server, model = self._json("/v2"), self._json(self._path)
        extensions = server.get("extensions")
        self._binary = isinstance(extensions, list) and _BINARY in extensions
        self._version = "{} {}".format(shown(str(server.get("name"))), shown(str(server.get("version"))))
        self.sha256 = hashlib.sha256(json.dumps([server, model], sort_keys=True).encode("utf-8")).hexdigest()
        self.inputs, self.outputs = self._specs("inputs", model), self._specs("outputs", model)
        if len(self.inputs) != 1 or not self.outputs:
            raise IncompatibleError("{}: one input and at least one output expected, {} and {} found".format(
                engine, len(self.inputs), len(self.outputs)), "name another model")

    def infer_all(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run once on the server and return every output; see `Session.infer_all`."""
        self.check_input(image)
        outputs, self.timings = self._infer(image)
        return outputs

    def submit(self, image: np.ndarray) -> None:
        """Send one request from the worker thread; `image` is copied, its buffer may be reused at once."""
        self.check_input(image)
        self._require_open()
        self._worker.submit(self._infer, image, self._require_open)

    def collect(self) -> Tuple[np.ndarray, ...]:
        """Wait for the answer to the oldest request that was submitted.

        Raises:
            UsageError: nothing was submitted, or the session is closed.
        """
        self._require_open()
        outputs, self.timings = self._worker.collect()
        return outputs

    def describe(self) -> Dict[str, Any]:
        """Return runtime, the server's name and version, and where it is; what it runs on, it does not say."""
        return {"runtime": "triton", "version": self._version, "provider": self._server, "threads": None,
                "served": True}

    def close(self) -> None:
        """Wait for running requests, drop their answers, and hang up."""
        self._closed = True
        self._worker.close()
        self._connection.close()

    def _require_open(self) -> None:
        if self._closed:
            raise session_closed(self._address)

    def _infer(self, image: np.ndarray) -> Results:
        self._require_open()
        start = time.perf_counter()
        body, headers = self._request_of(image)
        answer, content = self._ask("POST", self._path + "/infer", body, headers)
        outputs = self._outputs_of(answer, content)
        return outputs, SessionTimings(wall_ms=(time.perf_counter() - start) * 1e3)

    def _request_of(self, image: np.ndarray) -> Tuple[bytes, Dict[str, str]]:
        taken = self.inputs[0]
        tensor: Dict[str, Any] = {"name": taken.name, "shape": list(taken.shape), "datatype": _NAMES[taken.dtype]}
        outputs = [{"name": spec.name, "parameters": {"binary_data": self._binary}} for spec in self.outputs]
        if not self._binary:
            tensor["data"] = image.ravel().tolist()
            body = json.dumps({"inputs": [tensor], "outputs": [{"name": spec.name} for spec in self.outputs]})
            return body.encode("ascii"), {"Content-Type": "application/json"}
        raw = np.ascontiguousarray(image, np.dtype(taken.dtype).newbyteorder("<")).tobytes()
        tensor["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode("ascii")
        return head + raw, {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}

    def _outputs_of(self, headers: Mapping[str, str], content: bytes) -> Tuple[np.ndarray, ...]:
        try:
            length = int(headers.get(_HEADER_LENGTH) or len(content))
            document = json.loads(content[:length].decode("utf-8"))
            at, found = length, {}
            for tensor in document["outputs"]:
                size = (tensor.get("parameters") or {}).get("binary_data_size")
                spec = next(spec for spec in self.outputs if spec.name == tensor["name"])
                if size is None:
                    values = np.array(tensor["data"], spec.dtype)
                else:
                    values = np.frombuffer(content[at:at + size], np.dtype(spec.dtype).newbyteorder("<"))
                    at += size
                found[spec.name] = values.reshape(spec.shape).astype(spec.dtype)
            return tuple(found[spec.name] for spec in self.outputs)
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
            raise BadInputError("{} answers with what is not its outputs: {}".format(
                self._address, shown(repr(error))), "look at the server's log") from error

    def _specs(self, side: str, model: Dict[str, Any]) -> Tuple[TensorSpec, ...]:
        tensors: List[Any] = model[side] if isinstance(model.get(side), list) else []
        specs = []
        for tensor in tensors:
            described = tensor if isinstance(tensor, dict) else {}
            kind, shape = described.get("datatype"), described.get("shape") or [-1]
            if kind not in _TYPES or not all(isinstance(size, int) and size > 0 for size in shape):
                raise IncompatibleError("{}: {} with a fixed shape and a type of numpy expected, found {}".format(
                    self._address, side, shown(json.dumps(tensor))), "serve a model with fixed shapes")
            specs.append(TensorSpec(str(tensor["name"]), tuple(shape), _TYPES[kind]))
        return tuple(specs)

    def _json(self, path: str) -> Dict[str, Any]:
        _, content = self._ask("GET", path, None, {})
        try:
            found = json.loads(content.decode("utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BadInputError("{} is no server of KServe's protocol: {} is not JSON".format(self._server, path), _FIX)
        return found

    def _ask(self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str]) -> Tuple[Any, bytes]:
        with self._lock:
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                content = _content(answer)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise MissingRuntimeError("{} does not answer: {}".format(self._server, error or type(error).__name__),
                                          "start the server; " + _FIX) from error
        if answer.status != 200:
            raise MissingRuntimeError("{} answers {} to {}: {}".format(
                self._server, answer.status, path, shown(content.decode("utf-8", "replace"), 300)),
                "ask the server for its models, and look at its log")
        return answer.headers, content


def _content(answer: http.client.HTTPResponse) -> bytes:
    """Return an answer's bytes, read in pieces: Python 3.6 allocates and clears at once all that `read` may return."""
    pieces: List[bytes] = []
    while True:
        piece = answer.read(_PIECE_BYTES)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        if len(pieces) > _MOST_BYTES // _PIECE_BYTES:
            raise http.client.HTTPException("an answer of more than {} bytes".format(_MOST_BYTES))
