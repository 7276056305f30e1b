"""The reference module as a session, and as an engine of the harness."""
import numpy as np
import pytest
import torch

from edgenext_deploy.artifacts import golden
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.commands import entry
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.torch_session import TorchSession
from edgenext_deploy.preprocess.photo import normalise


@pytest.fixture(scope="module")
def session():
    with TorchSession("xxs") as made:
        yield made


@pytest.fixture
def image(session):
    return normalise(golden.golden_batch(7, session.inputs[0].shape), session.preprocessing)


def test_answers_are_the_modules(session, image):
    with torch.inference_mode():
        expected = randomise(create_model("xxs"), 0)(torch.from_numpy(image)).numpy()
    np.testing.assert_array_equal(session.infer(image), expected)
    session.submit(image)
    np.testing.assert_array_equal(session.collect()[0], expected)
    assert session.timings.wall_ms > 0.0 and session.timings.compute_ms is None


def test_it_describes_itself(session):
    assert session.describe() == {"runtime": "torch", "version": torch.__version__, "provider": "CPU",
                                  "threads": torch.get_num_threads()}
    assert session.weights.random and session.weights.source == "random weights (seed 0)"


def test_wrong_use(session):
    with pytest.raises(UsageError, match="float32"):
        session.infer(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(UsageError, match="nothing submitted"):
        session.collect()
    with pytest.raises(UsageError, match="unknown variant 'xxz'"):
        TorchSession("xxz")
    with pytest.raises(UsageError, match="for classifiers; xxs_ssdlite is for detection"):
        TorchSession("xxs_ssdlite")
    with pytest.raises(UsageError, match="threads"):
        TorchSession("xxs", threads=0)
    closed = TorchSession("xxs")
    closed.close()
    with pytest.raises(UsageError, match="closed"):
        closed.infer(np.zeros((1, 3, 256, 256), np.float32))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a torch without CUDA")
def test_cuda_that_is_not_there():
    with pytest.raises(MissingRuntimeError, match="no CUDA"):
        TorchSession("xxs", device="cuda")


def test_the_harness_measures_it_beside_its_export(capsys, tmp_path):
    from exports import export

    made = export("xxs", tmp_path, target="onnxruntime")
    path = str(tmp_path / "rows.json")
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, [
            "--engine", made.onnx_path, "--reference", "torch:xxs", "--iterations", "3", "--warmup", "0.01", "--json",
            path])
    assert stopped.value.code == 0, capsys.readouterr().err
    reference, row = latency_report.read(path).records
    assert reference.name == reference.engine.file == "torch:xxs"
    assert reference.engine.sha256 == row.model.weights.sha256  # the same parameters
    assert reference.versions.torch == torch.__version__
    assert row.outputs.passed and row.outputs.top1_equal and row.outputs.max_relative_difference < 1e-4
