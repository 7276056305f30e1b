"""The client of served models against a real server of KServe's protocol: MLServer, with a model of our files.

EDGENEXT_TRITON names a Python that has mlserver, tritonclient and onnxruntime: `make test-serving`.
"""
import json
import os
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
from free_ports import free_ports
from paths import CAT, ROOT, TINY

from edgenext_deploy import Classifier, open_session
from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.export.commands.serving import write_serving_files
from edgenext_deploy.runtime.kserve import KServeSession

PYTHON = os.environ.get("EDGENEXT_TRITON")
pytestmark = [pytest.mark.real, pytest.mark.skipif(
    not PYTHON, reason="EDGENEXT_TRITON names no Python with mlserver and onnxruntime")]
MOST = 4
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
        with open("sizes", "a") as sizes:
            print(len(image), file=sizes)
        return InferenceResponse(model_name=self.name, outputs=[
            NumpyCodec.encode_output(self.session.get_outputs()[0].name, found)])
'''


@pytest.fixture
def served(tmp_path):
    """Serve the open graph of a classifier with MLServer's batching; yield the addresses over HTTP and gRPC."""
    ports = free_ports(3)
    with open_session(TINY) as session:
        described = [[{"name": spec.name, "datatype": "FP32", "shape": [-1, *spec.shape[1:]]} for spec in specs]
                     for specs in (session.inputs, session.outputs)]
    for ending in (".onnx", ".json"):
        shutil.copy(os.path.splitext(TINY)[0] + ending, str(tmp_path / ("net" + ending)))
    write_serving_files(str(tmp_path / "net.onnx"), False, "triton", None, MOST)
    (tmp_path / "net.py").write_text(MODEL.format(path=str(tmp_path / "models" / "net" / "1" / "model.onnx")))
    (tmp_path / "settings.json").write_text(json.dumps({
        "host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2],
        "parallel_workers": 0, "debug": False}))
    (tmp_path / "model-settings.json").write_text(json.dumps({
        "name": "net", "implementation": "net.Net", "max_batch_size": MOST, "max_batch_time": 0.05,
        "inputs": described[0], "outputs": described[1]}))
    with open(str(tmp_path / "log"), "wb") as log:
        process = subprocess.Popen([PYTHON, "-m", "mlserver.cli.main", "start", str(tmp_path)], cwd=str(tmp_path),
                                   stdout=log, stderr=subprocess.STDOUT)
    address = "triton://127.0.0.1:{}/net".format(ports[0])
    try:
        end = time.time() + 60
        while True:
            try:
                KServeSession(address).close()
                break
            except MissingRuntimeError:
                assert process.poll() is None and time.time() < end, (tmp_path / "log").read_text()[-3000:]
                time.sleep(0.3)
        yield address, "triton+grpc://127.0.0.1:{}/net".format(ports[1])
    finally:
        process.terminate()
        process.wait()


def test_a_real_server_gives_the_engines_answers_in_batches(served, tmp_path):
    wrong = []

    def client(number):
        with KServeSession(served[0]) as session:
            for count in range(5):
                image = np.random.RandomState(100 * number + count).normal(size=session.inputs[0].shape)
                answer = session.infer(image.astype(np.float32))
                with lock:
                    same = np.allclose(answer, engine.infer(image.astype(np.float32)), rtol=1e-5, atol=1e-6)
                wrong.extend([] if same else [(number, count)])

    lock = threading.Lock()
    with open_session(TINY) as engine:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(2 * MOST)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    sizes = [int(size) for size in (tmp_path / "sizes").read_text().split()]
    assert sum(sizes) == 2 * MOST * 5 and 1 < max(sizes) <= MOST


def test_the_example_runs_over_http_and_grpc(served):
    with Classifier(TINY) as classify:
        best = classify(CAT)[0].label
    for address in served:
        shown = subprocess.run([PYTHON, os.path.join(ROOT, "examples", "triton_client.py"), address,
                                os.path.splitext(TINY)[0] + ".json", CAT], stdout=subprocess.PIPE, check=True,
                               env=dict(os.environ, PYTHONPATH=ROOT), universal_newlines=True).stdout
        assert shown == "{} {}\n".format(CAT, best)
