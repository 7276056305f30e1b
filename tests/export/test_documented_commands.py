"""Every command of README, docs and help texts runs, but for those that need a board, a camera or a download.

`tests/test_readme.py` parses all of them. Here each runs in this process, in a folder with the files that it names:
exports of the named networks with random weights (tests/exports.py keeps them), pictures that ship, reports. Runs are
cut short: a few frames, a few inferences. What exports runs with the real simplifier and TensorRT-RTX, in
`make test-ci`; what exports several networks in `make test-all`.
"""
import json
import re
import shlex
import shutil
from pathlib import Path

import exports
import numpy as np
import paths
import pytest
import torch
from command_lines import command_of, run_here
from documented import commands, help_examples
from PIL import Image

from edgenext_deploy.bundle.writing import NamedGraph, bundle_bytes
from edgenext_deploy.data import path_of
from edgenext_deploy.engines.racing import halving
from edgenext_deploy.models.factory import create_model

# Why a command is parsed only. The first pattern that is found in it counts.
NOT_RUN = {
    r"\.plan\b|^edgenext-build (?!test xxs\.onnx)": "needs TensorRT and a board's GPU; tests/engines has doubles",
    r"csi://|/dev/video|rtsp://": "needs a camera",
    "CUDAExecutionProvider": "needs ONNX Runtime's build for CUDA",
    "^edgenext-remote| --on ": "needs a board; tests/real/remote has SSH servers",
    "--runtime openvino": "needs OpenVINO; tests/core/runtime/test_ov_session.py has it",
    "--pretrained": "downloads; tests/models/checkpoints has a server",
    "--ray auto": "needs a Ray cluster; tests/real/test_ray.py has one",
    "triton://": "needs a server; tests/core/runtime/test_kserve.py has one",
}
# Exports take seconds each, with the real tools; larger networks, the drift of a whole one, and rows one after the
# other take half a minute.
EXPORTS = re.compile(r"^edgenext-export (?!check)|estimate --variant")
MINUTES = re.compile(r"--run\b|--race\b|bench routes|bench race .*--|doctor --timeout|--drift|--auto-pin|"
                     r"export formulations(?!.*--formulation)|"
                     r"^edgenext-export (mobilevit_)?s(_|\b)|estimate --variant s\b")
# What is adopted: files of other people's, narrow forms of them.
THEIRS = {"lite0.onnx": "mobilenet_v2_17.onnx", "mobilenet.onnx": "mobilenet_v3_17.onnx",
          "model.onnx": "shufflenet_v2_17.onnx", "seg.onnx": "deeplabv3_mobilenet_v3_17.onnx"}
SHORT = {"edgenext-bench": ["--duration", "0.02", "--warmup", "0.02"], "edgenext-run": ["--frames", "3"]}
MEASURES = re.compile(r"^edgenext-bench (?!compare|estimate|page|photos|profile|race|repeat|table|routes)")
STREAMS = re.compile(r"synthetic://|\.mp4(?! --)|video\.mp4")


def reason_not_to_run(line):
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, line)), None)


LINES = sorted({*commands(), *help_examples()})
RUN = [pytest.param(line, marks=pytest.mark.sweep if MINUTES.search(line) else pytest.mark.real if EXPORTS.search(line)
                    else ()) for line in LINES if not reason_not_to_run(line)]


def test_most_commands_run():
    """A pattern of NOT_RUN that grew too wide would let commands out; one that nothing matches has no reason."""
    assert len(RUN) >= 50
    for pattern in NOT_RUN:
        assert any(re.search(pattern, line) for line in LINES), pattern


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Return a folder with the report of a short run, run.json, and a profile, profile.json."""
    from edgenext_deploy.benchmarks.commands.cli import bench_command

    folder = tmp_path_factory.mktemp("reports")
    for name in ("s", "xxs"):
        engine(folder, name)
    for words in (["profile", str(folder / "s.onnx"), "--json-file", str(folder / "profile.json")],
                  [str(folder / "s.onnx"), str(folder / "xxs.onnx"), *SHORT["edgenext-bench"],
                   "--json-file", str(folder / "run.json")]):
        bench_command.main(words, standalone_mode=False)
    return folder


@pytest.mark.parametrize("line", RUN)
def test_the_command_runs(line, reports, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(halving, "FULL_S", 0.05)
    name, *arguments = shlex.split(line)
    put_files(tmp_path, line, reports)
    arguments = ["0" if word == "8080" else word for word in arguments]  # another program may have the port
    if MEASURES.search(line):
        arguments += SHORT["edgenext-bench"]
    if name == "edgenext-run" and STREAMS.search(line):
        arguments += SHORT["edgenext-run"]
    if line.startswith("edgenext-bench photos"):
        arguments += ["--rounds", "1"]
    if line.startswith("edgenext-bench routes") or "--run" in arguments:
        arguments += ["--rounds", "3"] if "routes" in line else ["--duration", "0.02"]
    threads = torch.get_num_threads()
    try:
        code, out, err = run_here(capsys, command_of(name), *arguments)
    finally:
        torch.set_num_threads(threads)
    # edgenext-doctor and repeat say what they found: 5 where two runs differ, 6 where nothing can run.
    assert code in ({0, 5} if " repeat " in line else {0}), err
    assert (out + err).strip()
    for option in ("--html", "--json-file", "--plot", "--csv", "--markdown", "--report", "--save"):
        if option in arguments:
            assert (tmp_path / arguments[arguments.index(option) + 1]).exists(), option


def put_files(folder, line, reports):
    """Put the files that a command line names into the folder."""
    makers = {"mine.pth": lambda path: weights(path, line), "checkpoint-best.pth": lambda path: weights(path, line),
              "photos": photos, "imagenet": imagenet, "coco": coco, "VOCdevkit": voc, "video.mp4": video,
              "mine.txt": lambda path: path.write_text("\n".join("class {}".format(n) for n in range(80)) + "\n")}
    for word in shlex.split(line)[1:]:
        top = Path(word).parts[0] if not word.startswith("-") else ""
        if top in makers:
            if not (folder / top).exists():
                makers[top](folder / top)
        elif line.startswith("edgenext-export adopt") and word in THEIRS:
            shutil.copy(str(Path(paths.DATA, "adoption", THEIRS[word])), str(folder / word))
        elif word in ("tokens.onnx", "picture.onnx"):  # files of anybody's, without a manifest
            shutil.copy(str(Path(paths.DATA, "foreign", word)), str(folder / word))
        elif word.endswith(".race"):
            bundle(folder, word[:-5])
        elif word.endswith(".onnx") and "--output" not in line and " race " not in line:
            engine(folder, word.rpartition("=")[2][:-5])  # also of --row NAME=FILE
        elif word.lower() == "photo.jpg":
            shutil.copy(path_of("photos", "cat.jpg"), str(folder / word))
        elif word.endswith(".json") and "--json-file " + word not in line:
            shutil.copy(str(reports / ("profile.json" if "profile" in word else "run.json")), str(folder / word))


def bundle(folder, name):
    """Bundle one small export."""
    engine(folder, name)
    files = [folder / (name + ending) for ending in (".onnx", ".json")]
    graph = NamedGraph("nchw", *(path.read_bytes() for path in files))
    (folder / (name + ".race")).write_bytes(bundle_bytes(name, [graph]))
    for path in files:
        path.unlink()


def engine(folder, name):
    """Export the named network; another name is that of somebody's own export."""
    variant = name if name in ("xxs", "xs", "s", "s_ssdlite", "s_deeplabv3") else "icons"
    made = folder / ("made-" + name)
    # Small inputs: the commands are asked whether they run.
    exports.export(variant, made, image_size=128 if "_" in variant else 64)
    for ending in (".onnx", ".json"):
        text = (made / (variant + ending)).read_bytes()
        if ending == ".json":
            manifest = json.loads(text.decode("utf-8"))
            manifest["graph"]["file"] = name + ".onnx"
            if name == "mine":  # what docs/tutorial.md trains
                manifest["labels"] = ["animal", "food", "vehicle", *manifest["labels"][3:]]
            text = json.dumps(manifest).encode("utf-8")
        (folder / (name + ending)).write_bytes(text)


def weights(path, line):
    """Save a state dict of the variant that the command names; a checkpoint of timm has it under a key."""
    variant = re.match(r"edgenext-export (?:--variant )?(\S+)", line).group(1)
    state = create_model(variant).state_dict()
    torch.save({"model": state, "model_ema": state, "epoch": 3} if path.name != "mine.pth" else state, str(path))


def photos(path):
    for label in ("animal", "food", "vehicle"):
        (path / label).mkdir(parents=True)
    for place in (path / "animal" / "cat.jpg", path / "food" / "coffee.jpg", path / "vehicle" / "bus0.jpg",
                  path / "cat.jpg"):
        shutil.copy(path_of("photos", "cat.jpg"), str(place))


def imagenet(path):
    for label in ("tabby", "espresso"):
        (path / "val" / label).mkdir(parents=True)
        shutil.copy(path_of("photos", "cat.jpg"), str(path / "val" / label / "1.jpg"))


def coco(path):
    (path / "val2017").mkdir(parents=True)
    (path / "annotations").mkdir()
    shutil.copy(path_of("photos", "cat.jpg"), str(path / "val2017" / "1.jpg"))
    names = Path(path_of("coco80.txt")).read_text(encoding="utf-8").split("\n")
    (path / "annotations" / "instances_val2017.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "1.jpg", "width": 451, "height": 300}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 16, "bbox": [40, 20, 300, 250], "area": 75000,
                         "iscrowd": 0}],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(names) if name]}))


def voc(path):
    for name in ("JPEGImages", "SegmentationClass"):
        (path / "VOC2012" / name).mkdir(parents=True)
    shutil.copy(path_of("photos", "cat.jpg"), str(path / "VOC2012" / "JPEGImages" / "cat.jpg"))
    Image.fromarray(np.full((300, 451), 8, np.uint8)).save(str(path / "VOC2012" / "SegmentationClass" / "cat.png"))


def video(path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for level in range(5):
        writer.write(np.full((48, 64, 3), 50 * level, np.uint8))
    writer.release()
