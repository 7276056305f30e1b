"""The OpenVINO session, on the committed network: OpenVINO itself, where it is installed."""
import os
import threading

import numpy as np
import pytest
from command_lines import run_here
from paths import CAT, DATA, TINY

from edgenext_deploy import Classifier, open_session
from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.engines.selftest.golden_test import self_test
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.run.cli import command
from edgenext_deploy.runtime.options import RuntimeOptions, available_threads
from edgenext_deploy.runtime.ov import OpenVINOSession
from edgenext_deploy.runtime.table import RUNTIMES, choose_runtime

pytest.importorskip("openvino")

OPENVINO = RuntimeOptions(runtime="openvino")


def images(count):
    manifest = open_engine_file(TINY).manifest()
    return [normalise(golden.golden_batch(seed, (1, 3, 32, 32)), manifest.preprocessing) for seed in range(count)]


@pytest.fixture
def session():
    with open_session(TINY, options=OPENVINO._replace(threads=1)) as opened:
        yield opened


def test_it_is_one_entry_in_the_table(session):
    assert isinstance(session, OpenVINOSession) and choose_runtime(TINY).name == "onnxruntime"
    assert RUNTIMES["openvino"].endings == (".onnx",)
    manifest = open_engine_file(TINY).manifest()
    assert session.inputs == manifest.inputs and session.outputs == manifest.outputs
    assert self_test(session, manifest).ok


def test_it_says_how_it_runs(session):
    found = session.describe()
    assert (found["runtime"], found["provider"], found["threads"]) == ("openvino", "CPU", 1)
    assert found["version"][:4].isdigit()
    with open_session(TINY, options=OPENVINO) as other:
        assert other.describe()["threads"] == available_threads()


def test_results_belong_to_the_caller(session):
    first, second = images(2)
    kept = session.infer(first)
    copy = kept.copy()
    session.infer(second)
    assert np.array_equal(kept, copy)
    kept[:] = 0
    assert np.array_equal(session.infer(first), copy) and session.timings.wall_ms > 0


def test_submitted_inferences_are_collected_in_order_even_if_the_buffer_is_reused(session):
    expected = [session.infer(image) for image in images(4)]
    buffer = np.empty(session.inputs[0].shape, np.float32)
    for _ in range(2):
        for image in images(4):
            buffer[:] = image
            session.submit(buffer)
            buffer[:] = 0
        found = [session.collect()[0] for _ in range(4)]
        assert all(np.abs(one - two).max() < 1e-5 for one, two in zip(expected, found))
    assert session.timings.wall_ms > 0
    with pytest.raises(UsageError, match="nothing submitted"):
        session.collect()


def test_each_thread_gets_its_own_answers(session):
    given = images(4)
    expected, wrong = [session.infer(image) for image in given], []

    def ask(index):
        for _ in range(50):
            if np.abs(session.infer(given[index]) - expected[index]).max() > 1e-5:
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_callers_array_is_read_and_never_written(session):
    first, second = images(2)
    kept = first.copy()
    session.infer(first)
    session.submit(second)
    session.collect()
    assert np.array_equal(first, kept)


def test_a_closed_session_and_a_fork_say_so(session):
    session.submit(images(1)[0])
    child = os.fork()
    if child == 0:
        try:
            session.infer(images(1)[0])
        except UsageError:
            session.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed"):
        session.infer(images(1)[0])


def test_what_it_refuses(session, tmp_path):
    with pytest.raises(UsageError, match="float32"):
        session.infer(images(1)[0].astype(np.float64))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph at all")
    with pytest.raises(BadInputError, match="not a graph that OpenVINO can run"):
        open_session(str(broken), options=OPENVINO)
    foreign = os.path.join(DATA, "foreign")
    for name, error in (("batch_open", BadInputError), ("string", BadInputError), ("sequence", IncompatibleError)):
        with pytest.raises(error):
            open_session(os.path.join(foreign, name + ".onnx"), options=OPENVINO)
    with pytest.raises(UsageError):
        OpenVINOSession(TINY, options=RuntimeOptions(threads=0))


def test_networks_and_commands_run_it(capsys):
    with Classifier(TINY, runtime=OPENVINO) as there, Classifier(TINY) as here:
        assert [one.index for one in there(CAT)] == [one.index for one in here(CAT)]
    code, _, err = run_here(capsys, command, TINY, CAT, "--runtime", "openvino", "--cuda-graph")
    assert code == 0 and "--cuda-graph does nothing for OpenVINO" in err
