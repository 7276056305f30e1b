"""A folder with a plan for each kind of GPU: each machine takes its own."""
import pytest
from doubles import gpu
from plan_samples import A100, BARE, NANO, ORIN, late_plan, orin_record, written

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts.plan_folder import fitting_plan, plans_in
from edgenext_deploy.commands.engine_argument import split_engine
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.machine import environment


@pytest.fixture
def folder(tmp_path):
    written(tmp_path, "xxs-nano.plan")
    written(tmp_path, "xxs-orin.plan", late_plan(), orin_record())
    (tmp_path / "bare.plan").write_bytes(late_plan())
    return str(tmp_path)


def test_each_machine_takes_its_plan(folder):
    assert fitting_plan(folder, NANO).endswith("xxs-nano.plan")
    assert fitting_plan(folder, ORIN).endswith("xxs-orin.plan")
    with pytest.raises(MissingRuntimeError, match="no TensorRT"):
        fitting_plan(folder, BARE)


def test_a_machine_without_a_plan_is_told_the_command_that_builds_it(folder):
    with pytest.raises(IncompatibleError) as caught:
        fitting_plan(folder, A100)
    assert "which has TensorRT 10.16.1.11 on NVIDIA A100-SXM4-40GB (compute capability 8.0)" in caught.value.message
    assert "xxs-nano.plan (TensorRT 8.2.1.8 on NVIDIA Tegra X1" in caught.value.message
    assert caught.value.fix == "build one on this machine: edgenext-build xxs.onnx --output {}/xxs-sm80.plan".format(
        folder)


def test_two_plans_that_fit_are_not_chosen_between(folder):
    written(folder, "other.plan")
    with pytest.raises(UsageError, match=r"several plans .*other\.plan, xxs-nano\.plan"):
        fitting_plan(folder, NANO)


def test_a_folder_of_plans_is_an_engine(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    plans = tmp_path / "plans"
    plans.mkdir()
    gpu.install(monkeypatch, "10.3")
    path = gpu.write_plan(plans, "10.3")
    gpu.write_plan(plans, "10.3", name="other", capability="7.2")
    here = environment.present_environment()._replace(gpu="Double GPU", compute_capability="8.7")
    monkeypatch.setattr(environment, "present_environment", lambda: here)
    assert plans_in(str(plans)) == [str(plans / "other.plan"), path] and plans_in(path) == []
    assert split_engine(None, (str(plans), "photo.jpg")) == (str(plans), ("photo.jpg",))
    with Classifier(str(plans)) as network:
        assert network.file.path == path
    with pytest.raises(BadInputError, match="is not a file"):
        Classifier(str(tmp_path))
