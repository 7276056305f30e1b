"""Engines that take several images at a time: every image's answer is that of the engine that takes one."""
import json
import os

import numpy as np
import pytest
from command_lines import run_here
from doubles import gpu, kernel_double
from frame_samples import frame_of, noise, photo
from paths import DATA
from PIL import Image

from edgenext_deploy import Classifier
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.preprocess import photo_batches
from edgenext_deploy.run import cli
from edgenext_deploy.runtime.options import RuntimeOptions

pytest.importorskip("onnxruntime")

TINY, BATCH = (os.path.join(DATA, name + ".onnx") for name in ("tiny_classifier", "tiny_batch"))
COLORS = [("red", (255, 0, 0)), ("blue", (0, 0, 255)), ("white", (255, 255, 255)), ("black", (0, 0, 0)),
          ("brown", (128, 80, 40)), ("cyan", (0, 255, 255)), ("green", (0, 255, 0))]


def pictures(count):
    return [Image.new("RGB", (40 + 8 * index, 48), color) for index, (_, color) in enumerate(COLORS[:count])]


def close(found, expected):
    return [item.label for item in found] == [item.label for item in expected] and np.allclose(
        [item.probability for item in found], [item.probability for item in expected], atol=1e-5)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for image, (name, _) in zip(pictures(7), COLORS):
        (folder / name).mkdir(parents=True)
        image.save(str(folder / name / "photo.png"))
    return folder


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
def test_any_number_of_photos(count):
    with Classifier(BATCH) as classify, Classifier(TINY) as alone:
        assert (classify.batch, alone.batch) == (3, 1)
        images = pictures(count)
        answers = classify(images)
        assert [answer[0].label for answer in answers] == [name for name, _ in COLORS[:count]]
        for images_of in (images, tuple(images)):
            assert all(map(close, alone(images_of), answers)) and len(alone(images_of)) == count
        assert (classify.timings.inference_ms > 0) == (count > 0)


def test_one_photo_is_one_answer_and_a_list_of_one_a_list(tmp_path):
    path = str(tmp_path / "red.png")
    Image.new("RGB", (40, 50), (255, 0, 0)).save(path)
    with Classifier(BATCH) as classify:
        assert classify(path)[0].label == "red" and classify([path]) == [classify(path)]
        mixed = classify([path, np.full((48, 64, 3), (255, 0, 0), np.uint8), Image.open(path), path])
        assert [answer[0].label for answer in mixed] == ["red", "blue", "red", "red"]
        with pytest.raises(BadInputError, match="no_such"):
            classify([path, str(tmp_path / "no_such.png")])


def test_what_fills_the_batch_has_no_answer_and_no_influence():
    """A NaN of one image would not show in another's answer, but the last real one fills up, which has none."""
    with Classifier(BATCH) as classify:
        seen = []
        infer = classify.session.infer_all
        classify.session.infer_all = lambda image: seen.append(image) or infer(image)
        classify(pictures(4))
    assert [image.shape for image in seen] == [(3, 3, 32, 32)] * 2
    assert np.array_equal(seen[1][0], seen[1][1]) and np.array_equal(seen[1][0], seen[1][2])


def test_a_camera_is_refused_with_a_word(tmp_path):
    with Classifier(BATCH) as classify, pytest.raises(UsageError, match="takes 3 images at a time") as caught:
        classify.stream(None)
    assert "--batch 1" in caught.value.fix


def test_the_commands_stream_is_refused_too(capsys):
    code, out, err = run_here(capsys, cli.command, "--engine", BATCH, "synthetic://64x48@30?frames=2")
    assert code == 2 and out == "" and "takes 3 images at a time" in err and "--batch 1" in err


def test_edgenext_run(capsys, photos, tmp_path):
    paths = sorted(photos.glob("*/*.png"))
    paths.insert(2, photos / "missing.png")
    (photos / "bad.png").write_bytes(b"no photo")
    long = tmp_path / "long.png"
    Image.new("RGB", (1, 60000)).save(str(long))
    paths += [photos / "bad.png", long]
    code, out, err = run_here(capsys, cli.command, "--engine", BATCH, "--save", tmp_path / "seen", "--json", *paths)
    document = json.loads(out)
    assert code == 3 and document["batch"] == 3 and err.count("error: ") == 3
    assert [image["image"] for image in document["images"]] == [str(path) for path in paths]
    right = [image for image in document["images"] if "error" not in image]
    assert [image["predictions"][0]["label"] for image in right] == sorted(name for name, _ in COLORS)
    assert [image["photos_in_batch"] for image in right] == [3, 3, 3, 3, 3, 3, 1]
    assert all(os.path.exists(image["saved"]) for image in right)
    code, out, _ = run_here(capsys, cli.command, "--engine", BATCH, *paths[:2])
    assert code == 0 and out.count("for a batch of 3, 2 of it photos") == 2
    code, out, _ = run_here(capsys, cli.command, "--engine", TINY, "--json", *paths[:2])
    assert "photos_in_batch" not in json.loads(out)["images"][0] and json.loads(out)["batch"] == 1


def test_edgenext_eval(photos, tmp_path):
    (photos / "red" / "bad.png").write_bytes(b"no photo")
    rows = {}
    for engines in ((TINY,), (BATCH,), (BATCH, TINY)):
        resume = tmp_path / (str(len(rows)) + ".jsonl")
        evaluation = evaluate(*engines, data=str(photos), resume=str(resume))
        assert evaluation.used == 7 and [item["image"] for item in evaluation.unreadable] == ["red/bad.png"]
        assert [engine.metrics[0].value for engine in evaluation.engines] == [1.0] * len(engines)
        rows[engines] = [json.loads(line) for line in resume.read_text().splitlines()[1:]]
    one, several, both = rows.values()
    assert one == several
    assert all(row["engines"] == [other["engines"][0]] * 2 for row, other in zip(both, one) if "engines" in row)


def test_large_photos_are_not_all_held_at_once(monkeypatch, photos):
    monkeypatch.setattr(photo_batches, "MAX_PIXELS", 60 * 48)
    with Classifier(BATCH) as classify:
        paths = sorted(str(path) for path in photos.glob("*/*.png"))
        reader = photo_batches.PhotoReader([classify.manifest.preprocessing], lambda image, size: ())
        batches = list(photo_batches.read_batches(reader, paths, 3, threads=2))
    assert [item.path for batch in batches for item in batch] == paths
    assert max(map(len, batches)) == 2


@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_plans(machine, tmp_path, monkeypatch, where):
    if where == "gpu" and kernel_double.COMPILER is None:
        pytest.skip("no g++ to compile the kernels with")
    gpu.add_compiler(monkeypatch, machine, tmp_path)
    plan = gpu.write_plan(tmp_path, machine.release, BATCH, "tiny_batch")
    frames = [frame_of("bgr", noise(48 + 8 * (index % 3), 64, seed=index), index) for index in range(4)]
    frames += [frame_of("bgr", photo("coffee.jpg")), np.full((48, 64, 3), (0, 0, 255), np.uint8)]
    with Classifier(plan, runtime=RuntimeOptions(preprocess_on=where)) as classify, Classifier(TINY) as alone:
        for count in (1, 3, 4, 6):
            found, expected = classify(frames[:count]), alone(frames[:count])
            assert [answer[0].label for answer in found] == [answer[0].label for answer in expected]
            assert all(abs(one.probability - other.probability) < 0.02
                       for pair in zip(found, expected) for one, other in zip(*pair))
        assert classify.frames.where == where
        assert [answer[0].label for answer in classify(pictures(5))] == [name for name, _ in COLORS[:5]]
    assert machine.allocated_bytes() == 0


def test_outputs_of_another_batch_are_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    from test_classifier import engine_with

    model = onnx.load(BATCH)
    model.graph.node[2].op_type, model.graph.node[2].attribute[0].i = "Flatten", 0
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 30
    path = str(tmp_path / "changed.onnx")
    onnx.save(model, path)

    def thirty(data):
        data["labels"] = []

    with pytest.raises(BadInputError, match="takes 3 images at a time, and gives"):
        Classifier(engine_with(tmp_path, thirty, path))
