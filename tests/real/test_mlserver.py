"""The client of served models against a real server of KServe's protocol: MLServer, with a model of our files.

EDGENEXT_TRITON names a Python that has mlserver and onnxruntime.
"""
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from paths import CAT, ROOT, TINY

from edgenext_deploy import Classifier, open_session
from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.runtime.kserve import KServeSession

PYTHON = os.environ.get("EDGENEXT_TRITON")
pytestmark = [pytest.mark.real, pytest.mark.skipif(
    not PYTHON, reason="EDGENEXT_TRITON names no Python with mlserver and onnxruntime")]
MODEL = '''
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Net(MLModel):
    async def load(self):
        self.session = onnxruntime.InferenceSession({path!r})
        return True

    async def predict(self, payload):
        image = NumpyCodec.decode_input(payload.inputs[0])
        (found,) = self.session.run(None, {{payload.inputs[0].name: image}})
        return InferenceResponse(model_name=self.name, outputs=[
            NumpyCodec.encode_output(self.session.get_outputs()[0].name, found)])
'''


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def address(tmp_path):
    ports = free_ports(3)
    with open_session(TINY) as session:
        described = [[{"name": spec.name, "datatype": "FP32", "shape": list(spec.shape)} for spec in specs]
                     for specs in (session.inputs, session.outputs)]
    (tmp_path / "net.py").write_text(MODEL.format(path=TINY))
    (tmp_path / "settings.json").write_text(json.dumps({
        "host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2],
        "parallel_workers": 0, "debug": False}))
    (tmp_path / "model-settings.json").write_text(json.dumps({
        "name": "net", "implementation": "net.Net", "inputs": described[0], "outputs": described[1]}))
    with open(str(tmp_path / "log"), "wb") as log:
        process = subprocess.Popen([PYTHON, "-m", "mlserver.cli.main", "start", str(tmp_path)], cwd=str(tmp_path),
                                   stdout=log, stderr=subprocess.STDOUT)
    yield_address = "triton://127.0.0.1:{}/net".format(ports[0])
    try:
        end = time.time() + 60
        while True:
            try:
                KServeSession(yield_address).close()
                break
            except MissingRuntimeError:
                assert process.poll() is None and time.time() < end, (tmp_path / "log").read_text()[-3000:]
                time.sleep(0.3)
        yield yield_address
    finally:
        process.terminate()
        process.wait()


def test_a_real_server_gives_the_engines_answers(address):
    with KServeSession(address) as session, open_session(TINY) as engine:
        for seed in range(3):
            image = np.random.RandomState(seed).normal(size=session.inputs[0].shape).astype(np.float32)
            assert np.allclose(session.infer(image), engine.infer(image), rtol=1e-5, atol=1e-6)
    with Classifier(TINY) as classify:
        best = classify(CAT)[0].label
    shown = subprocess.run([sys.executable, os.path.join(ROOT, "examples", "triton_client.py"), address,
                            os.path.splitext(TINY)[0] + ".json", CAT], stdout=subprocess.PIPE, check=True,
                           env=dict(os.environ, PYTHONPATH=ROOT), universal_newlines=True).stdout
    assert shown == "{} {}\n".format(CAT, best)
