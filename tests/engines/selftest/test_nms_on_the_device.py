"""The NMS plugin in the builder and in the session, on doubles: plugins are registered where they are needed."""
import json

import pytest
from doubles import gpu
from doubles import onnx_writer as ow
from engine_cases import install, normed, request

from edgenext_deploy import open_session
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.nms_plugin import OP, plugin_outputs
from edgenext_deploy.artifacts.plan_check import read_record, sidecar_path
from edgenext_deploy.engines import onnx_to_plan
from edgenext_deploy.engines.builder import build
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.runtime.options import RuntimeOptions


def plugged(folder, outputs=None):
    """Write a graph with the plugin, whose manifest says so unless `outputs` says something else."""
    settings = manifests.Detection(0.01, 0.5, 400, 200)
    specs = plugin_outputs(1, settings)
    path = normed(folder, nodes_after=[ow.node(OP, "nms", ["logits", "logits"], [spec.name for spec in specs])])
    beside = manifests.manifest_path(path)
    manifest = manifests.read(beside)._replace(outputs=specs if outputs is None else outputs, detection=settings)
    with open(beside, "wb") as stream:
        stream.write(manifests.dump(manifest))
    return path


@pytest.mark.parametrize("release", ["8.2", "8.6", "10.3"])
def test_the_builder_registers_plugins_before_it_parses(monkeypatch, tmp_path, release):
    module = install(monkeypatch, release)
    report = build(request(plugged(tmp_path))).report
    assert module.double.plugins and report.network_layers == 7
    assert report.pins.layers == ("norm/mean", "norm/centre")


def test_the_builder_registers_none_for_a_graph_without(monkeypatch, tmp_path):
    module = install(monkeypatch, "8.2")
    build(request(normed(tmp_path)))
    assert not module.double.plugins
    # And the double is like TensorRT in that it then finds no plugin.
    with pytest.raises(IncompatibleError, match="Plugin not found: EfficientNMS_TRT"):
        build(request(plugged(tmp_path, outputs=())))


@pytest.mark.parametrize("write, plugins", [(plugged, (OP,)), (normed, ())])
def test_the_sidecar_names_the_plugin(machine, monkeypatch, tmp_path, write, plugins):
    machine("8.2")
    monkeypatch.setattr(onnx_to_plan, "verify_in_child", lambda path: (None, "a double runs nothing"))
    made = onnx_to_plan.build_plan(write(tmp_path))
    assert made.record.plugins == read_record(made.path).plugins == plugins


@pytest.mark.parametrize("plugins, registered", [([], []), ([OP], [""])])
def test_the_session_registers_what_the_sidecar_names(monkeypatch, tmp_path, plugins, registered):
    machine = gpu.install(monkeypatch, "8.6")
    path = gpu.write_plan(tmp_path, "8.6", onnx_path=None, name="two")
    with open(sidecar_path(path)) as stream:
        data = json.load(stream)
    data["plugins"] = plugins
    with open(sidecar_path(path), "w") as stream:
        json.dump(data, stream)
    with open_session(path):
        assert machine.plugins == registered


def test_a_trusted_plan_without_a_sidecar_may_need_plugins(monkeypatch, tmp_path):
    machine = gpu.install(monkeypatch, "8.6")
    with open_session(gpu.write_plan(tmp_path, "8.6", onnx_path=None, name="two", sidecar=False),
                      options=RuntimeOptions(trust=True)):
        assert machine.plugins == [""]
