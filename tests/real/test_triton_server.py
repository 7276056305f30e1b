"""Triton itself loads what ``--serve triton`` writes, batches requests, and answers as the engine does.

The server is that of NVIDIA's wheel nvidia-pytriton, which has the Python backend alone. So one line of config.pbtxt is
another here, the backend's name, and a model of a few lines runs the repository's ONNX file in ONNX Runtime. What is
Triton's own is not replaced: reading the configuration, the warm-up, gathering requests, labels, HTTP and gRPC.
EDGENEXT_TRITON names a Python that has nvidia-pytriton and onnxruntime: `make test-serving`.
"""
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from free_ports import free_ports
from paths import CAT, DATA, ROOT
from tiny_tasks import write_detector, write_segmenter

from edgenext_deploy import Classifier, open_session
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.export.commands.serving import write_serving_files
from edgenext_deploy.runtime.kserve import KServeSession

PYTHON = os.environ.get("EDGENEXT_TRITON")
_PACKAGES = sorted(Path(os.path.dirname(PYTHON or ""), "..", "lib").resolve().glob("python3*/site-packages/pytriton"))
pytestmark = [pytest.mark.real, pytest.mark.skipif(
    not PYTHON or not _PACKAGES, reason="EDGENEXT_TRITON names no Python with nvidia-pytriton")]
TINY = os.path.join(DATA, "tiny_probabilities.onnx")
MOST = 4
MODEL = '''
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path)

    def execute(self, requests):
        name = self.session.get_inputs()[0].name
        images = [triton.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
        found = self.session.run(None, {name: np.concatenate(images)})
        answers, start = [], 0
        for image in images:
            answers.append(triton.InferenceResponse([
                triton.Tensor(value.name, values[start:start + len(image)])
                for value, values in zip(self.session.get_outputs(), found)]))
            start += len(image)
        return answers
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serve a classifier, a detector and a segmenter; yield the ports of HTTP and gRPC and the engines' paths."""
    folder = tmp_path_factory.mktemp("triton")
    for ending in (".onnx", ".json"):
        shutil.copy(os.path.splitext(TINY)[0] + ending, str(folder))
    engines = {"tiny_probabilities": str(folder / "tiny_probabilities.onnx"), "detector": write_detector(folder),
               "segmenter": write_segmenter(folder)}
    for engine in engines.values():
        write_serving_files(engine, False, "triton", None, MOST)
    for config in (folder / "models").glob("*/config.pbtxt"):
        text = config.read_text()
        assert text.count('backend: "onnxruntime"') == 1
        config.write_text(text.replace('backend: "onnxruntime"', 'backend: "python"'))
        (config.parent / "1" / "model.py").write_text(MODEL)
    packages = _PACKAGES[0].parent
    triton = packages / "pytriton" / "tritonserver"
    shutil.copytree(str(triton / "backends"), str(folder / "backends"))
    version = "/".join(packages.parts[-2:-1])[len("python"):]
    shutil.copy(str(triton / "python_backend_stubs" / version / "triton_python_backend_stub"),
                str(folder / "backends" / "python"))
    ports = free_ports(3)
    words = [word for name, port in zip(("http", "grpc", "metrics"), ports)
             for word in ("--{}-port".format(name), str(port), "--{}-address".format(name), "127.0.0.1")]
    with open(str(folder / "log"), "wb") as log:
        process = subprocess.Popen(
            [str(triton / "bin" / "tritonserver"), "--model-repository", str(folder / "models"), "--backend-directory",
             str(folder / "backends"), "--log-verbose", "1", *words], stdout=log, stderr=subprocess.STDOUT,
            env=dict(os.environ, LD_LIBRARY_PATH=str(packages / "nvidia_pytriton.libs"), PYTHONPATH=str(packages),
                     PATH=os.path.dirname(PYTHON) + os.pathsep + os.environ["PATH"]))
    try:
        end = time.time() + 60
        while True:
            try:
                KServeSession("triton://127.0.0.1:{}/segmenter".format(ports[0])).close()
                break
            except MissingRuntimeError:
                assert process.poll() is None and time.time() < end, (folder / "log").read_text()[-3000:]
                time.sleep(0.3)
        yield ports[0], ports[1], engines, folder / "log"
    finally:
        process.terminate()
        process.wait()


def asked(port, path, document=None):
    """Return the server's JSON answer."""
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen("http://127.0.0.1:{}/v2/{}".format(port, path), body, timeout=30) as answer:
        return json.loads(answer.read().decode())


@pytest.mark.parametrize("name", ["tiny_probabilities", "detector", "segmenter"])
def test_requests_of_many_clients_are_gathered_and_answered_as_by_the_engine(server, name):
    port, _, engines, _ = server
    wrong = []

    def client(number):
        with KServeSession("triton://127.0.0.1:{}/{}".format(port, name)) as session:
            assert session.inputs[0].shape == expected.inputs[0].shape
            for count in range(20):
                image = np.random.RandomState(1000 * number + count).rand(*session.inputs[0].shape).astype(np.float32)
                answer = session.infer_all(image)
                with lock:
                    same = zip(answer, expected.infer_all(image))
                wrong.extend((number, count) for left, right in same if not np.allclose(left, right, atol=1e-6))

    lock = threading.Lock()
    with open_session(engines[name]) as expected:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    # The warm-up has one image and then the largest batch. Triton counts an answer after it was sent.
    end = time.time() + 10
    while True:
        (counts,) = asked(port, "models/{}/stats".format(name))["model_stats"]
        if counts["inference_count"] == 8 * 20 + 1 + MOST or time.time() > end:
            break
    assert counts["inference_count"] == 8 * 20 + 1 + MOST
    assert counts["execution_count"] < counts["inference_count"] - MOST
    assert {found["batch_size"] for found in counts["batch_stats"]} <= set(range(1, MOST + 1))


def test_the_warm_up_ran_and_the_settings_are_those_that_were_written(server):
    port, _, _, log = server
    text = log.read_text()
    assert all("running warmup sample 'golden x {}'".format(batch) in text for batch in (1, MOST))
    config = asked(port, "models/detector/config")
    assert config["max_batch_size"] == MOST and config["dynamic_batching"]["preferred_batch_size"] == [2, MOST]
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 100
    assert [group["count"] for group in config["instance_group"]] == [1]


def test_triton_names_the_classes(server):
    port, _, engines, _ = server
    labels = manifests.read(manifests.manifest_path(engines["tiny_probabilities"])).labels
    image = np.random.RandomState(0).rand(1, 3, 32, 32).astype(np.float32)
    with open_session(engines["tiny_probabilities"]) as engine:
        best = int(engine.infer(image)[0].argmax())
    answer = asked(port, "models/tiny_probabilities/infer", {
        "inputs": [{"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": image.ravel().tolist()}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]})
    (named,) = answer["outputs"][0]["data"]
    assert named.split(":")[1:] == [str(best), labels[best]]


def test_the_example_and_the_benchmark_speak_http_and_grpc(server):
    http, grpc, engines, _ = server
    engine = engines["tiny_probabilities"]
    addresses = ["triton://127.0.0.1:{}/tiny_probabilities".format(http),
                 "triton+grpc://127.0.0.1:{}/tiny_probabilities".format(grpc)]
    with Classifier(engine) as classify:
        best = classify(CAT)[0].label
    for address in addresses:
        shown = run([os.path.join(ROOT, "examples", "triton_client.py"), address, os.path.splitext(engine)[0] + ".json",
                     CAT])
        assert shown == "{} {}\n".format(CAT, best)
    rows = json.loads(run(["-m", "edgenext_deploy.benchmarks.commands.cli", *addresses, "--duration", "0.2", "--json"]))
    assert [row["name"] for row in rows["records"]] == addresses
    assert all(row["latency"]["p50_ms"] > 0 and row["session"]["version"].startswith("triton ")
               for row in rows["records"])


def test_grpc_says_what_is_wrong(server):
    _, grpc, engines, _ = server
    for address, code, message in (
            ("triton+grpc://127.0.0.1:{}/other".format(grpc), 6, "unknown model"),
            ("triton+grpc://127.0.0.1:1/net", 6, "does not answer"), ("triton+grpc://net", 2, "not the address")):
        found = subprocess.run(
            [PYTHON, os.path.join(ROOT, "examples", "triton_client.py"), address,
             os.path.splitext(engines["detector"])[0] + ".json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=ROOT), universal_newlines=True)
        assert found.returncode == code and message in found.stdout, found.stdout


def run(words):
    """Run the Python that has tritonclient."""
    return subprocess.run([PYTHON, *words], stdout=subprocess.PIPE, check=True, env=dict(os.environ, PYTHONPATH=ROOT),
                          universal_newlines=True).stdout


def test_without_tritonclient_the_error_names_the_extra():
    found = subprocess.run(
        [sys.executable, os.path.join(ROOT, "examples", "triton_client.py"), "triton+grpc://127.0.0.1:1/net",
         os.path.splitext(TINY)[0] + ".json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, PYTHONPATH=ROOT), universal_newlines=True)
    assert found.returncode == 6 and "[grpc]" in found.stdout
