"""What was checked is what runs: an engine file and what lies next to it are each read once."""
import builtins
import collections
import itertools
import json
import os
import shutil

import numpy as np
import pytest
from doubles import gpu
from plan_samples import NANO, contents, nano_plan, put, written

from edgenext_deploy import Classifier, RuntimeOptions, open_network, open_session
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts import plan_header
from edgenext_deploy.artifacts.engine_file import open_engine_file, open_plan
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.engines.inspection import inspect_plan
from edgenext_deploy.engines.selftest.engine_test import test_engine as run_self_test
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import sha256_of_file
from edgenext_deploy.run.views import open_view

TINY_JSON = os.path.splitext(gpu.TINY)[0] + ".json"


@pytest.fixture
def reads(monkeypatch):
    """Count how often each file is opened, by its name without folder."""
    found, real = collections.Counter(), open

    def counting(name, *arguments, **options):
        found[os.path.basename(os.fspath(name)) if not isinstance(name, int) else name] += 1
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "open", counting)
    return found


@pytest.fixture
def tiny(tmp_path):
    """Return the path of a copy of the tiny classifier, its manifest next to it."""
    for path in (gpu.TINY, TINY_JSON):
        shutil.copyfile(path, str(tmp_path / ("tiny" + os.path.splitext(path)[1])))
    return str(tmp_path / "tiny.onnx")


def test_a_network_reads_a_graph_and_its_manifest_once(tiny, reads):
    pytest.importorskip("onnxruntime")
    for opens in (Classifier, open_network, open_view):
        reads.clear()
        with (opens(tiny).network if opens is open_view else opens(tiny)) as classify:
            assert type(classify) is Classifier
        assert (reads["tiny.onnx"], reads["tiny.json"]) == (1, 1)
    with Classifier(tiny) as classify:
        assert (classify.file.sha256, classify.file.bytes) == (sha256_of_file(gpu.TINY), os.path.getsize(gpu.TINY))
        assert classify.file.manifest_sha256 == sha256_of_file(TINY_JSON)


def test_a_network_reads_a_plan_its_sidecar_and_its_manifest_once(new_machine, tmp_path, monkeypatch, reads):
    parsed = []
    real = plan_header.parse_header
    monkeypatch.setattr(plan_header, "parse_header", lambda *given: parsed.append(given) or real(*given))
    path = gpu.write_plan(tmp_path, "10.3")
    reads.clear()
    with Classifier(path) as classify:
        assert classify.session.record == classify.file.record is not None
        assert classify.file.sha256 == classify.file.record.plan.sha256
    names = [os.path.basename(path), os.path.basename(path) + ".json",
             os.path.basename(manifests.manifest_path(path))]
    assert [reads[name] for name in names] == [1, 1, 1] and len(parsed) == 1


def test_inspect_reads_a_plan_once(tmp_path, reads):
    path = written(tmp_path)
    reads.clear()
    assert inspect_plan(path, environment=NANO).problem is None
    assert (reads["xxs.plan"], reads["xxs.plan.json"]) == (1, 1)


def test_a_graph_that_is_replaced_after_the_check_does_not_run(tiny):
    pytest.importorskip("onnxruntime")
    file = open_engine_file(tiny)
    manifest = file.manifest()
    put(tiny, b"another graph")
    put(os.path.splitext(tiny)[0] + ".json", b"another manifest")
    image = np.ones(manifest.inputs[0].shape, np.float32)
    with open_session(file) as session, open_session(gpu.TINY) as reference:
        assert np.array_equal(session.infer(image), reference.infer(image))
    assert file.manifest() is manifest


def test_a_plan_that_is_replaced_after_the_check_does_not_run(new_machine, tmp_path):
    path = gpu.write_plan(tmp_path, "10.3")
    image = np.ones((1, 3, 32, 32), np.float32)
    with open_session(path) as session:
        expected = session.infer(image)
    file = open_engine_file(path)
    put(path, b"another plan")
    os.unlink(path + ".json")
    with open_session(file) as session:
        assert np.array_equal(session.infer(image), expected)
    with pytest.raises(BadInputError):
        open_session(path)


def test_a_plan_that_changes_while_it_is_read(tmp_path, monkeypatch):
    """Without a sidecar no digest would find it; what is parsed has to be what is loaded."""
    path, size = str(tmp_path / "a.plan"), 1 << 16  # larger than what Python reads ahead
    for step in (1, -1):
        sizes = itertools.count(size + step, step)

        def swapped(name, header, trust, sizes=sizes):
            with open(path, "r+b") as stream:  # in place, as the file that is open; again when it is read again
                stream.truncate(0)
                stream.write(nano_plan(size=next(sizes)))

        put(path, nano_plan(size=size))
        monkeypatch.setattr("edgenext_deploy.artifacts.plan_check.record_for", swapped)
        with pytest.raises(BadInputError, match="changed while it was read"):
            open_plan(path, trust=True)


def test_the_content_is_taken_once(tiny):
    file = open_engine_file(tiny)
    assert file.take_data() == contents(gpu.TINY) and file.sha256 == sha256_of_file(gpu.TINY)
    with pytest.raises(ValueError, match="taken already"):
        file.take_data()


def test_a_manifest_for_another_graph(tiny):
    os.rename(os.path.splitext(tiny)[0] + ".json", tiny + ".moved")
    assert open_engine_file(tiny).find_manifest() is None
    with pytest.raises(BadInputError, match="manifest not found") as caught:
        open_engine_file(tiny).manifest()
    assert "edgenext-export adopt" in caught.value.fix
    os.rename(tiny + ".moved", os.path.splitext(tiny)[0] + ".json")
    assert open_engine_file(tiny).manifest() == open_engine_file(tiny).find_manifest() == manifests.read(TINY_JSON)
    put(tiny, contents(tiny) + b"\0")
    for function in ("manifest", "find_manifest"):
        with pytest.raises(BadInputError, match="not the file its manifest describes") as caught:
            getattr(open_engine_file(tiny), function)()
        assert tiny in str(caught.value)


def test_weights_in_a_second_file_are_refused(tmp_path, monkeypatch):
    """Whether or not the second file is where ONNX Runtime would look for it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    model = onnx.load(gpu.TINY)
    path = str(tmp_path / "split.onnx")
    onnx.save(model, path, save_as_external_data=True, location="split.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    assert os.path.getsize("split.bin") and tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 19)
    with pytest.raises(BadInputError, match="external data"):
        open_session(path, options=RuntimeOptions(threads=1))


def test_a_link_to_a_graph_finds_the_manifest_next_to_the_graph(tiny, tmp_path):
    pytest.importorskip("onnxruntime")
    here = tmp_path / "app" / "engines"
    here.mkdir(parents=True)
    os.symlink(tiny, str(here / "absolute.onnx"))
    os.symlink(os.path.join("..", "..", "tiny.onnx"), str(here / "relative.onnx"))
    os.symlink("relative.onnx", str(here / "chain.onnx"))
    for name in ("absolute.onnx", "relative.onnx", "chain.onnx"):
        link = str(here / name)
        assert open_engine_file(link).find_manifest() is not None
        for opens in (Classifier, open_network):
            with opens(link) as classify:
                assert classify.manifest.variant and classify.file.sha256 == sha256_of_file(tiny)


def test_a_manifest_next_to_the_link_comes_first(tiny, tmp_path):
    (tmp_path / "app").mkdir()
    link = str(tmp_path / "app" / "current.onnx")
    os.symlink(tiny, link)
    shutil.copyfile(TINY_JSON, str(tmp_path / "app" / "current.json"))
    os.unlink(str(tmp_path / "tiny.json"))
    assert open_engine_file(link).manifest() is not None
    (tmp_path / "app" / "current.json").write_text("{")
    with pytest.raises(BadInputError, match=r"current\.json"):
        open_engine_file(link).manifest()
    # Neither place has one: the error names the one next to what was asked for.
    (tmp_path / "app" / "current.json").unlink()
    with pytest.raises(BadInputError, match=r"current\.json"):
        open_engine_file(link).manifest()


def test_a_link_to_a_plan_finds_its_sidecar_and_its_manifest(new_machine, tmp_path):
    (tmp_path / "store").mkdir()
    plan = gpu.write_plan(tmp_path / "store", "10.3")
    link = str(tmp_path / "current.plan")
    os.symlink(plan, link)
    with Classifier(link) as classify:
        assert classify.session.record is not None
    os.unlink(plan + ".json")
    with pytest.raises(BadInputError, match=r"no sidecar .*current\.plan\.json"):
        open_engine_file(link)
    os.unlink(link)
    os.symlink("current.plan", link)  # a link to itself
    with pytest.raises(BadInputError):
        open_engine_file(link)


# A way to open a plan with its manifest; the self-test and the networks are what an application uses.
OPENERS = {
    "manifest": lambda plan: open_engine_file(plan).manifest(),
    "find_manifest": lambda plan: open_engine_file(plan).find_manifest(),
    "class": Classifier,
    "open_network": open_network,
    "self-test": run_self_test,
    "view": open_view,
    "evaluation": lambda plan: evaluate(plan, data=os.path.dirname(plan)),
}


@pytest.mark.parametrize("opener", sorted(OPENERS))
@pytest.mark.parametrize("change", [
    {"labels": ["x"] * 10}, {"preprocessing": {"crop_pct": 0.5}}, {"scores": {"activation": "sigmoid"}}, {}],
    ids=["labels", "preprocessing", "activation", "spaces"])
def test_a_plan_does_not_take_an_exchanged_manifest(new_machine, tmp_path, opener, change):
    """Of the same graph, valid, and different in what decides the answers, or in nothing but its bytes."""
    plan = gpu.write_plan(tmp_path, "10.3")
    path = str(tmp_path / "tiny_classifier.json")
    with open(path) as stream:
        document = json.load(stream)
    for field, value in change.items():
        document[field] = {**document.get(field, {}), **value} if isinstance(value, dict) else value
    if "scores" in change:
        document["schema"] = 2
        document["scores"].update({"in_graph": False, "threshold": 0.5})
    put(path, json.dumps(document).encode())
    manifests.read(path)  # is one
    with pytest.raises(BadInputError, match=r"not the manifest that .* was built with") as caught:
        OPENERS[opener](plan)
    assert "edgenext-build" in str(caught.value.fix) and "copy .plan, .plan.json and .json together" in caught.value.fix
    shutil.copyfile(TINY_JSON, path)
    assert open_engine_file(plan).manifest() == manifests.read(TINY_JSON)
