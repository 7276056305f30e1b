"""The session of a served model over gRPC: KServe's open inference protocol, version 2, with NVIDIA's tritonclient.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_grpc.md. Nothing is
encrypted and nobody is asked who he is: for a server on this machine or in a network that is trusted.
"""
from typing import Any, Callable, Dict, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import one_line
from edgenext_deploy.install import install_command
from edgenext_deploy.runtime.served import LIMIT_S, TYPE_NAMES, Address, ServedSession, address_fix, parse_address

SCHEME, _SERVICE = "triton+grpc://", "gRPC"


class GrpcSession(ServedSession):
    """A model of a server, such as ``triton+grpc://127.0.0.1:8001/xxs``; one connection, one request at a time.

    Args:
        engine: the address.
        options: none of it matters: the server decides how the model runs.

    Raises:
        BadInputError: the server answers with what are not the model's outputs.
        IncompatibleError: a model with open sizes behind the batch, several inputs, or types that numpy lacks.
        MissingRuntimeError: tritonclient is not installed, nobody answers there, or there is no such model.
        UsageError: not an address.
    """

    def _connect(self, engine: str) -> Address:
        place = parse_address(engine, SCHEME, _SERVICE)
        try:
            import tritonclient.grpc as grpc
        except ImportError as error:
            raise MissingRuntimeError("tritonclient with gRPC is not installed: {}".format(error),
                                      install_command("grpc")) from error
        self._grpc: Any = grpc
        self._client = grpc.InferenceServerClient(place.server)
        return place

    def _metadata(self, name: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        server = self._call(self._client.get_server_metadata, as_json=True)
        model = self._call(self._client.get_model_metadata, name, as_json=True)
        # JSON of protobuf has its 64-bit numbers as text.
        for side in ("inputs", "outputs"):
            for tensor in model.get(side, []):
                tensor["shape"] = [int(size) for size in tensor.get("shape", [])]
        return server, model

    def _ask_for(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        taken = self.inputs[0]
        tensor = self._grpc.InferInput(taken.name, list(taken.shape), TYPE_NAMES[taken.dtype])
        tensor.set_data_from_numpy(image)
        wanted = [self._grpc.InferRequestedOutput(spec.name) for spec in self.outputs]
        answer = self._call(self._client.infer, self._place.model, [tensor], outputs=wanted)
        return tuple(self._output_of(answer, spec) for spec in self.outputs)

    def _output_of(self, answer: Any, spec: TensorSpec) -> np.ndarray:
        try:
            values = answer.as_numpy(spec.name)
        except Exception as error:  # bytes that are no such tensor: tritonclient lets numpy's and struct's errors out
            raise self._no_output(spec, one_line(error)) from error
        if values is None or (values.dtype, values.shape) != (spec.dtype, spec.shape):
            raise self._no_output(spec, "nothing" if values is None else "{} {}".format(
                values.dtype, list(values.shape)))
        # What tritonclient gives is read-only memory of the answer.
        return np.array(values)

    def _no_output(self, spec: TensorSpec, found: str) -> BadInputError:
        return BadInputError("{} answers with what is not its output {}: {}".format(
            self._address, spec.name, shown(found)), "look at the server's log")

    def _hang_up(self) -> None:
        self._client.close()

    def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return function(*arguments, client_timeout=LIMIT_S, **options)
        except InferenceServerException as error:
            raise MissingRuntimeError("{} does not answer: {}".format(
                self._address, shown(str(error), 300)),
                "start the server, ask it for its models; " + address_fix(SCHEME, _SERVICE)) from error
