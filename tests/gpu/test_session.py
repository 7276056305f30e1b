"""A session on a plan that is built here, in every way of running, against ONNX Runtime."""
import shutil

import numpy as np
import pytest
from doubles.gpu import TINY
from trt_cases import WAYS, in_thread

from edgenext_deploy import open_session
from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.commands.child import run_module
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.ort import OnnxRuntimeSession

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    pytest.importorskip("tensorrt")
    folder = tmp_path_factory.mktemp("plan")
    for suffix in (".onnx", ".json"):
        shutil.copy(TINY[:-5] + suffix, str(folder))
    run_module("edgenext_deploy.engines.cli", [str(folder / "tiny_classifier.onnx"), "--fp32", "--force"], 500)
    return str(folder / "tiny_classifier.plan")


@pytest.fixture(scope="module")
def answered():
    """Return inputs `[1, 3, 32, 32]` and what ONNX Runtime answers."""
    pytest.importorskip("onnxruntime")
    images = [normalise(golden.golden_batch(seed, (1, 3, 32, 32)), open_engine_file(TINY).manifest().preprocessing)
              for seed in range(8)]
    with OnnxRuntimeSession(TINY) as reference:
        return images, [reference.infer(image) for image in images]


def close(found, expected):
    return np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize("way", [*WAYS, {}], ids=str)
def test_answers_in_every_way_of_running(context, plan, answered, way):
    if way.get("zero_copy") and not context.maps_host_memory:
        pytest.skip("{} does not map the processor's memory".format(context.name))
    images, expected = answered
    with open_session(plan, options=RuntimeOptions(**way)) as session:
        if "cuda_graph" in way:
            assert session.describe()["cuda_graph"] is way["cuda_graph"]
        for image, answer in zip(images, expected):
            assert close(session.infer(image), answer)
        session.submit(images[0])
        for index in range(1, len(images)):
            session.submit(images[index])
            assert close(session.collect()[0], expected[index - 1])
        assert close(session.collect()[0], expected[-1])
        timings = session.timings
        assert 0.0 < timings.compute_ms <= timings.wall_ms + 1.0
        assert (timings.host_to_device_ms is None) == bool(way.get("zero_copy")) or "zero_copy" not in way


def test_threads_share_a_session_beside_a_second_one(context, plan, answered):
    images, expected = answered
    with open_session(plan) as first, open_session(plan) as second:
        def work(session):
            for _ in range(20):
                for image, answer in zip(images, expected):
                    assert close(session.infer(image), answer)

        in_thread(*[lambda session=session: work(session) for session in (first, second, first, second)])


def test_an_input_that_is_prepared_on_the_device(context, plan, answered):
    images, expected = answered
    with open_session(plan) as session, context.active() as driver:
        memory = driver.pagelocked_empty(images[0].shape, np.float32)
        for image, answer in zip(images, expected):
            memory[...] = image
            (found,) = session.infer_prepared(lambda driver, stream, address: driver.memcpy_htod_async(
                address, memory, stream))
            assert close(found, answer)
