"""The session of a served model: answers are those of the engine that the server runs, or an error that says why."""
import json
import os
import socket
import struct
import sys
import threading
import time

import numpy as np
import pytest
from command_lines import run_here
from paths import DATA, TINY
from served_model import serving

from edgenext_deploy import open_session
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.benchmarks.commands import cli
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.runtime import kserve
from edgenext_deploy.runtime.kserve import KServeSession
from edgenext_deploy.runtime.kserve_grpc import GrpcSession
from edgenext_deploy.runtime.table import choose_runtime, is_address

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def engine():
    with open_session(TINY) as session:
        yield session


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", ["tiny_classifier", "tiny_pixels"])
def test_answers_are_those_of_the_engine_behind_it(name, binary):
    with open_session(os.path.join(DATA, name + ".onnx")) as engine, serving(engine, binary) as address:
        with KServeSession(address) as session:
            assert (session.inputs, session.outputs) == (engine.inputs, engine.outputs)
            images = [np.random.RandomState(seed).randint(0, 2, session.inputs[0].shape).astype(session.inputs[0].dtype)
                      for seed in range(3)]
            for image in images:
                assert np.array_equal(session.infer(image), engine.infer(image))
                session.submit(image)
            assert all(np.array_equal(session.collect()[0], engine.infer(image)) for image in images)
            assert session.timings.wall_ms > 0 and session.describe()["version"] == "double 1.0"
            with pytest.raises(UsageError, match="nothing submitted"):
                session.collect()
            with pytest.raises(UsageError, match="expected"):
                session.infer(images[0][:, :1])
        with pytest.raises(UsageError, match="is closed"):
            session.infer(images[0])


def test_where_the_server_batches_a_request_has_one_image(engine):
    def opened(path, document):
        for tensor in document.get("inputs", []) + document.get("outputs", []) if path.endswith("net") else []:
            tensor["shape"][0] = -1
        return document

    with serving(engine, change=opened) as address, KServeSession(address) as session:
        assert (session.inputs, session.outputs) == (engine.inputs, engine.outputs)
        image = np.random.RandomState(0).normal(size=session.inputs[0].shape).astype(np.float32)
        assert np.array_equal(session.infer(image), engine.infer(image))


def test_served_and_local_latency_stand_in_one_table(engine, capsys, tmp_path):
    with serving(engine) as address:
        code, _, err = run_here(capsys, cli.bench_command, TINY, address, "--duration", "0.05",
                                "--warmup", "0.05", "--json-file", tmp_path / "rows.json")
    assert code == 0, err
    local, served = json.loads((tmp_path / "rows.json").read_text())["records"]
    assert local["session"]["runtime"] == "onnxruntime" and served["session"]["runtime"] == "triton"
    assert served["name"] == address and served["device"] == "server" and served["model"] is None
    assert served["latency"]["p50_ms"] > local["latency"]["p50_ms"]


def test_the_table_knows_the_address():
    assert is_address("triton://host:8000/net") and not is_address(TINY)
    assert choose_runtime("triton://host:8000/net").name == "triton"
    assert choose_runtime("triton://host:8000/net.onnx").name == "triton"
    with pytest.raises(UsageError, match="it opens triton://"):
        choose_runtime(TINY, "triton")
    with pytest.raises(UsageError, match="a file is expected"):
        open_session("triton://host:8000/net")


def test_what_does_nothing_for_a_served_model_is_said_and_a_shape_is_compared(engine, capsys):
    quick = ("--duration", "0.01", "--warmup", "0.01")
    with serving(engine) as address:
        code, _, err = run_here(capsys, cli.bench_command, address, "--threads", "1", *quick)
        assert code == 0 and "--threads does nothing for a server" in err
        code, _, err = run_here(capsys, cli.bench_command, address, "--shape", "image=1x3x64x64", *quick)
        assert code == 2 and "[1, 3, 32, 32]" in err


@pytest.mark.parametrize("address", ["triton://", "triton://host/net", "triton://host:0/net", "triton://host:99999/net",
                                     "triton://host:80/a/b", "triton://a@host:80/net", "triton://host:80/net\r\nX: y"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="not the address of a served model"):
        KServeSession(address)


def test_grpc_is_another_scheme_and_names_what_it_needs(monkeypatch):
    assert is_address("triton+grpc://host:8001/net") and choose_runtime("triton+grpc://h:1/net").name == "triton-grpc"
    monkeypatch.setitem(sys.modules, "tritonclient", None)
    with pytest.raises(MissingRuntimeError, match="tritonclient with gRPC is not installed") as caught:
        GrpcSession("triton+grpc://127.0.0.1:1/net")
    assert "[grpc]" in caught.value.fix
    with pytest.raises(UsageError, match="not the address") as caught:
        GrpcSession("triton://127.0.0.1:1/net")
    assert "gRPC service" in caught.value.fix


@pytest.mark.parametrize("values, message", [
    (None, "nothing"), (np.zeros((4, 1), np.float32), r"float32 \[4, 1\]"), (np.zeros((1, 4), np.int32), "int32"),
    (ValueError("cannot reshape array"), "cannot reshape"), (struct.error("unpack_from"), "unpack_from")])
def test_what_tritonclient_cannot_make_an_output_of(values, message):
    class Answer:
        def as_numpy(self, name):
            if isinstance(values, Exception):
                raise values
            return values

    session = GrpcSession.__new__(GrpcSession)
    session._address = "triton+grpc://h:1/net"
    with pytest.raises(BadInputError, match="not its output o: " + message):
        session._output_of(Answer(), TensorSpec("o", (1, 4), "float32"))


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MissingRuntimeError, match="does not answer"):
        KServeSession("triton://127.0.0.1:{}/net".format(port))


def test_another_model_and_another_kind_of_server(engine):
    with serving(engine) as address, pytest.raises(MissingRuntimeError, match=r"404 .*no such model"):
        KServeSession(address + "2")
    with serving(engine, broken=b"<html>") as address, pytest.raises(BadInputError, match="no server of KServe"):
        KServeSession(address)


@pytest.mark.parametrize("answer", [b"[" * 200000, b'{"a": NaN}', b'{"inputs": [], "inputs": []}'])
def test_what_is_no_json(engine, answer):
    with serving(engine, broken=answer) as address, pytest.raises(BadInputError, match="is not JSON"):
        KServeSession(address)


@pytest.mark.parametrize("answer, message", [
    (b"Content-Length: 99\r\n\r\n{}", "97 more"), (b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}", "does not answer")])
def test_an_answer_that_is_cut_short(answer, message):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)

        def serve():
            with server.accept()[0] as client:
                client.recv(1 << 16)
                client.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(MissingRuntimeError, match=message):
            KServeSession("triton://127.0.0.1:{}/net".format(server.getsockname()[1]))
        thread.join()


def test_a_server_that_hangs_up_after_a_pause_is_asked_again(engine):
    image = np.zeros(engine.inputs[0].shape, np.float32)
    with serving(engine, idle_s=0.05) as address, KServeSession(address) as session:
        for _ in range(2):
            time.sleep(0.15)
            assert np.array_equal(session.infer(image), engine.infer(image))
    with pytest.raises(UsageError, match="is closed"):
        session.infer(image)


def test_after_ctrl_c_the_next_request_gets_its_own_answer(engine, monkeypatch):
    images = np.random.RandomState(0).normal(size=(2, *engine.inputs[0].shape)).astype(np.float32)
    with serving(engine) as address, KServeSession(address) as session:
        with monkeypatch.context() as patch:
            patch.setattr(kserve, "_content", interrupt)
            with pytest.raises(KeyboardInterrupt):
                session.infer(images[0])
        assert np.array_equal(session.infer(images[1]), engine.infer(images[1]))


def interrupt(answer):
    raise KeyboardInterrupt


def test_a_fork_neither_waits_for_the_thread_nor_speaks_on_the_connection(engine):
    image = np.zeros(engine.inputs[0].shape, np.float32)
    with serving(engine) as address, KServeSession(address) as session:
        session.submit(image)
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (session.infer, session.submit):
                try:
                    call(image)
                except UsageError:
                    refused += 1
            session.close()
            os._exit(0 if refused == 2 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(session.collect()[0], engine.infer(image))


def test_close_waits_for_a_request_of_another_thread_and_the_next_one_is_refused(engine):
    started, image = threading.Event(), np.zeros(engine.inputs[0].shape, np.float32)

    def slowly(path, document):
        if path.endswith("infer"):
            started.set()
            while not session._closed:
                time.sleep(0.01)
        return document

    found = []

    def ask():
        try:
            found.append(session.infer(image))
        except UsageError as error:
            found.append(str(error))

    with serving(engine, change=slowly) as address:
        session = KServeSession(address)
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert started.wait(20)
        session.close()
        assert session._connection.sock is None
        for thread in threads:
            thread.join()
    answer, refusal = sorted(found, key=lambda one: isinstance(one, str))
    assert np.array_equal(answer, engine.infer(image)) and "is closed" in refusal


@pytest.mark.parametrize("change, error, message", [
    ({"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, -1]}]}, IncompatibleError, "fixed sizes"),
    ({"inputs": [{"name": "a", "datatype": "FP32", "shape": [-1]}]}, IncompatibleError, "fixed sizes"),
    ({"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1]}]}, IncompatibleError, "type of numpy"),
    ({"inputs": []}, IncompatibleError, "0 and 1 found"), ({"outputs": "x"}, IncompatibleError, "1 and 0 found"),
    ({"inputs": [7]}, IncompatibleError, "fixed sizes"),
    ({"inputs": [{"datatype": "FP32", "shape": [1]}]}, IncompatibleError, "fixed sizes"),
    ({"inputs": [{"name": "a", "datatype": ["FP32"], "shape": [1]}]}, IncompatibleError, "fixed sizes"),
    *[({"inputs": [{"name": "a", "datatype": "FP32", "shape": shape}]}, IncompatibleError, "fixed sizes")
      for shape in (5, [True], [1 << 20, 1 << 20], [1 << 63])]])
def test_models_that_cannot_be_run(engine, change, error, message):
    def changed(path, document):
        return {**document, **change} if path.endswith("net") else document

    with serving(engine, change=changed) as address, pytest.raises(error, match=message):
        KServeSession(address)


@pytest.mark.parametrize("outputs", [
    [], "x", [{"name": "other"}], [{"data": [1.0]}], [{"parameters": {"binary_data_size": 7}}],
    [{"data": [1] * 10, "datatype": "INT32"}], [{"data": [1] * 10, "shape": [10, 1]}], [{"data": [10 ** 400] * 10}]])
def test_answers_that_are_none(engine, outputs):
    def changed(path, document):
        described = {"name": "logits", "datatype": "FP32", "shape": [1, 10]}
        return {"outputs": [dict(described, **output) if isinstance(output, dict) else output for output in outputs]
                } if path.endswith("infer") else document

    with serving(engine, change=changed) as address, KServeSession(address) as session, pytest.raises(
            BadInputError, match="answers with what is not its outputs"):
        session.infer(np.zeros(session.inputs[0].shape, np.float32))
