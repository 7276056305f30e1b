"""The session of a served model: KServe's open inference protocol, version 2, over HTTP, as Triton and others speak it.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; tensors as bytes
are its extension "binary_tensor_data" (Triton's protocol/extension_binary_data.md). A server without it gets JSON.
Nothing is encrypted and nobody is asked who he is: for a server on this machine or in a network that is trusted.
"""
import http.client
import json
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import one_line
from edgenext_deploy.runtime.served import LIMIT_S, TYPE_NAMES, Address, ServedSession, address_fix, parse_address

SCHEME, _SERVICE = "triton://", "HTTP"
_FIX = address_fix(SCHEME, _SERVICE)
_BINARY = "binary_tensor_data"
_HEADER_LENGTH = "Inference-Header-Content-Length"
_MOST_BYTES, _PIECE_BYTES = 1 << 29, 1 << 16


class KServeSession(ServedSession):
    """A model of a server, such as ``triton://127.0.0.1:8000/xxs``; one connection, one request at a time.

    Args:
        engine: the address.
        options: none of it matters: the server decides how the model runs.

    Raises:
        BadInputError: the server answers with what no server of this protocol would.
        IncompatibleError: a model with open sizes behind the batch, several inputs, or types that numpy lacks.
        MissingRuntimeError: nobody answers there, or there is no such model.
        UsageError: not an address.
    """

    def _connect(self, engine: str) -> Address:
        place = parse_address(engine, SCHEME, _SERVICE)
        self._path = "/v2/models/{}".format(place.model)
        self._connection = http.client.HTTPConnection(place.host.strip("[]"), place.port, timeout=LIMIT_S)
        return place

    def _metadata(self, name: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        return self._json("/v2"), self._json(self._path)

    def _ask_for(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        body, headers = self._request_of(image)
        answer, content = self._ask("POST", self._path + "/infer", body, headers)
        return self._outputs_of(answer, content)

    def _hang_up(self) -> None:
        self._connection.close()

    def _request_of(self, image: np.ndarray) -> Tuple[bytes, Dict[str, str]]:
        taken, binary = self.inputs[0], _BINARY in self._extensions
        tensor: Dict[str, Any] = {"name": taken.name, "shape": list(taken.shape), "datatype": TYPE_NAMES[taken.dtype]}
        if not binary:
            tensor["data"] = image.ravel().tolist()
            body = json.dumps({"inputs": [tensor], "outputs": [{"name": spec.name} for spec in self.outputs]})
            return body.encode("ascii"), {"Content-Type": "application/json"}
        outputs = [{"name": spec.name, "parameters": {"binary_data": True}} for spec in self.outputs]
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
                if (tensor["datatype"], tensor["shape"]) != (TYPE_NAMES[spec.dtype], list(spec.shape)):
                    raise ValueError("{} {} {}".format(spec.name, tensor["datatype"], tensor["shape"]))
                if size is None:
                    values = np.array(tensor["data"], spec.dtype)
                else:
                    values = np.frombuffer(content[at:at + size], np.dtype(spec.dtype).newbyteorder("<"))
                    at += size
                found[spec.name] = values.reshape(spec.shape).astype(spec.dtype)
            return tuple(found[spec.name] for spec in self.outputs)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, StopIteration,
                RecursionError) as error:
            raise BadInputError("{} answers with what is not its outputs: {}".format(
                self._address, shown(repr(error))), "look at the server's log") from error

    def _json(self, path: str) -> Dict[str, Any]:
        _, content = self._ask("GET", path, None, {})
        try:
            found = json_records.parse(content.decode("utf-8"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise BadInputError("{} is no server of KServe's protocol: {} is not JSON".format(self._place.server, path),
                                _FIX)
        return found

    def _ask(self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str]) -> Tuple[Any, bytes]:
        kept = self._connection.sock is not None
        try:
            try:
                answer, content = self._ask_once(method, path, body, headers)
            except ConnectionError:
                if not kept:
                    raise
                # A server hangs up when nothing was asked for a while: some after five seconds.
                answer, content = self._ask_once(method, path, body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a chunk of a size below zero
            raise MissingRuntimeError("{} does not answer: {}".format(
                self._place.server, shown(one_line(error))), "start the server; " + _FIX) from error
        if answer.status != 200:
            raise MissingRuntimeError("{} answers {} to {}: {}".format(
                self._place.server, answer.status, path, shown(content.decode("utf-8", "replace"), 300)),
                "ask the server for its models, and look at its log")
        return answer.headers, content

    def _ask_once(self, method: str, path: str, body: Optional[bytes],
                  headers: Dict[str, str]) -> Tuple[http.client.HTTPResponse, bytes]:
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer, _content(answer)
        except BaseException:  # after Ctrl-C, too, the next request must not meet what is left of this one
            self._connection.close()
            raise


def _content(answer: http.client.HTTPResponse) -> bytes:
    """Return an answer's bytes, read in pieces: Python 3.6 allocates and clears at once all that `read` may return."""
    pieces: List[bytes] = []
    while True:
        piece = answer.read(_PIECE_BYTES)
        if not piece:
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return b"".join(pieces)
        pieces.append(piece)
        if len(pieces) > _MOST_BYTES // _PIECE_BYTES:
            raise http.client.HTTPException("an answer of more than {} bytes".format(_MOST_BYTES))
