"""Trained networks behind every option of the preprocessing: image for image what PyTorch answers for it.

The way from a photo to the tensor is written out here, with Pillow and numpy and without the toolkit.
"""
import numpy as np
import PIL
import pytest
import shapes
import torch
import trained
from exports import quick_export
from PIL import Image
from plain_nms import plain_nms
from safetensors.torch import load_file

from edgenext_deploy import Classifier, Segmenter
from edgenext_deploy.artifacts.manifest import Detection
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.runtime.options import RuntimeOptions

ONE_THREAD = RuntimeOptions(threads=1)
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DIGITS = 80
PAPER, INK = np.array((30, 60, 20)), np.array((250, 200, 240))
HALF = (0.5, 0.5, 0.5)
FILTERS = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "nearest": Image.NEAREST, "lanczos": Image.LANCZOS}


def resized(image, width, height, interpolation):
    kind = FILTERS[interpolation]
    if int(PIL.__version__.split(".")[0]) >= 13:  # which resizes columns of tall images first; before, rows came first
        image = image.resize((width, image.height), kind)
    return image.resize((width, height), kind)


def cropped(image, size, shorter, interpolation):
    """torchvision's Resize(shorter) and CenterCrop(size), of a photo that is wider than high."""
    width = int(shorter * image.width / image.height)
    left, top = round((width - size) / 2), round((shorter - size) / 2)
    return resized(image, width, shorter, interpolation).crop((left, top, left + size, top + size))


def boxed(image, size, color, interpolation):
    """LetterBox of a photo that is wider than high."""
    height = round(image.height * size / image.width)
    picture = Image.new("RGB", (size, size), color)
    picture.paste(resized(image, size, height, interpolation), (0, (size - height) // 2))
    return picture


def tensor_of(picture, mean=HALF, std=HALF, bgr=False):
    """ToTensor, Normalize, and the channels as OpenCV has them."""
    pixels = (np.asarray(picture) / 255.0 - mean) / std
    planes = pixels.transpose(2, 0, 1)[::-1 if bgr else 1]
    return torch.from_numpy(np.ascontiguousarray(planes, np.float32))


MEAN, STD = (0.4, 0.3, 0.5), (0.3, 0.6, 0.4)
SIZE = trained.SIZE
# Options, and the same by hand.
OPTIONS = {
    "nothing": ({}, lambda image: tensor_of(cropped(image, SIZE, SIZE, "bicubic"))),
    "bilinear": ({"interpolation": "bilinear"}, lambda image: tensor_of(cropped(image, SIZE, SIZE, "bilinear"))),
    "nearest": ({"interpolation": "nearest"}, lambda image: tensor_of(cropped(image, SIZE, SIZE, "nearest"))),
    "lanczos": ({"interpolation": "lanczos"}, lambda image: tensor_of(cropped(image, SIZE, SIZE, "lanczos"))),
    "resize": ({"resize_size": 73}, lambda image: tensor_of(cropped(image, SIZE, 73, "bicubic"))),
    "crop": ({"crop_pct": 0.9}, lambda image: tensor_of(cropped(image, SIZE, 71, "bicubic"))),
    "stretch": ({"fit": "stretch"}, lambda image: tensor_of(resized(image, SIZE, SIZE, "bicubic"))),
    "letterbox": ({"fit": "letterbox"}, lambda image: tensor_of(boxed(image, SIZE, (114,) * 3, "bicubic"))),
    "paper": ({"fit": "letterbox", "pad_color": "30,60,20", "interpolation": "bilinear"},
              lambda image: tensor_of(boxed(image, SIZE, tuple(PAPER.tolist()), "bilinear"))),
    "mean and std": ({"mean": "0.4,0.3,0.5", "std": "0.3,0.6,0.4"},
                     lambda image: tensor_of(cropped(image, SIZE, SIZE, "bicubic"), MEAN, STD)),
    "bgr": ({"channel_order": "bgr"}, lambda image: tensor_of(cropped(image, SIZE, SIZE, "bicubic"), bgr=True)),
    "all": ({"channel_order": "bgr", "mean": MEAN, "std": STD, "fit": "letterbox", "interpolation": "lanczos",
             "fold_normalization": True},
            lambda image: tensor_of(boxed(image, SIZE, (114,) * 3, "lanczos"), MEAN, STD, bgr=True)),
}
# Those that show a digit as large as the network has learned it.
GOOD = {"nothing", "bilinear", "lanczos", "mean and std", "bgr"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Held-out digits as coloured photos of 96x72 pixels, with paper on both sides, in a folder for each name."""
    folder = tmp_path_factory.mktemp("photos")
    images, labels = (values[:DIGITS] for values in trained.digits()[1])
    found = {}
    for number, (image, label) in enumerate(zip(images, labels)):
        wide = np.pad(np.asarray(Image.fromarray(image).resize((72, 72), Image.BICUBIC)), ((0, 0), (12, 12)))
        share = wide[:, :, np.newaxis] / 255.0
        path = folder / NAMES[label] / f"{number:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((PAPER + (INK - PAPER) * share).astype(np.uint8)).save(path)
        found[str(path)] = int(label)
    return folder, found


def load(module, name, classes):
    with module.registered():
        model = create_model(name, num_classes=classes)
    model.load_state_dict(load_file(module.weights_file(name)), strict=True)
    return model.requires_grad_(False).eval()


def export(folder, module, name, labels, **options):
    (folder / "labels.txt").write_text("\n".join(labels))
    with module.registered():
        return quick_export(ExportRequest(
            name, folder, weights=module.weights_file(name), num_classes=len(labels), image_size=module.SIZE,
            labels=folder / "labels.txt", target="onnxruntime", **options)).onnx_path


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_a_trained_classifier_is_as_right_as_pytorch_image_for_image(photos, tmp_path, option):
    folder, truth = photos
    options, by_hand = OPTIONS[option]
    engine = export(tmp_path, trained, "digits", NAMES, **options)
    opened = [Image.open(path) for path in truth]
    with quiet_torch():
        logits = load(trained, "digits", 10)(torch.stack([by_hand(image) for image in opened]))
    expected = logits.softmax(1).numpy()
    right = [int(row.argmax()) == label for row, label in zip(expected, truth.values())]
    assert np.mean(right) > 0.9 or option not in GOOD
    with Classifier(engine, runtime=ONE_THREAD, top_k=10) as classify:
        for path, image, row in zip(truth, opened, expected):
            for source in (path, image):
                answer = classify(source)
                assert [item.index for item in answer[:3]] == np.argsort(-row)[:3].tolist()
                assert max(abs(item.probability - row[item.index]) for item in answer) < 1e-4
        frames = [classify(np.ascontiguousarray(np.asarray(image)[:, :, ::-1])) for image in opened]
    # A frame's pixels may be a grey level off.
    off = [abs(item.probability - row[item.index]) for row, answer in zip(expected, frames) for item in answer]
    assert max(off) < 0.05 and np.mean(off) < 1e-3
    assert evaluate(engine, data=str(folder), runtime=ONE_THREAD).engines[0].metrics[0].value == np.mean(right)


def test_the_options_change_the_answers(photos):
    """Or the test above would say nothing."""
    images = [Image.open(path) for path in list(photos[1])[:8]]
    with quiet_torch():
        logits = {name: load(trained, "digits", 10)(torch.stack([by_hand(image) for image in images]))
                  for name, (_, by_hand) in OPTIONS.items()}
    for name in set(OPTIONS) - {"nothing"}:
        assert (logits[name] - logits["nothing"]).abs().max() > 0.01, name


SSD = Detection(0.01, 0.5, 400, 200)
COLOR = (114, 114, 114)


@pytest.fixture(scope="module")
def scenes():
    images, masks, objects = (values[:24] for values in shapes.held_out_scenes())
    pictures = [boxed(Image.fromarray(image), shapes.SIZE, COLOR, "bilinear") for image in images]
    return images, masks, objects, torch.stack([tensor_of(picture) for picture in pictures])


def test_a_letterboxed_detector_finds_what_pytorch_finds(scenes, tmp_path):
    """Scenes of 120x90 become 96x72, with 12 rows of border above and below."""
    images, _, objects, inputs = scenes
    annotations = shapes.write_coco(tmp_path, images, objects)
    engine = export(tmp_path, shapes, "shapes_ssdlite", shapes.SHAPES, fit="letterbox", interpolation="bilinear")
    evaluation = evaluate(engine, data=str(tmp_path / "photos"), labels=str(annotations), runtime=ONE_THREAD,
                          resume=str(tmp_path / "rows.jsonl"))
    with quiet_torch():
        boxes, scores = (values.numpy() for values in load(shapes, "shapes_ssdlite", 3).detect(inputs))
    expected = pytorch_map(boxes, scores, annotations)
    metrics = {metric.key: metric.value for metric in evaluation.engines[0].metrics}
    assert metrics["map"] == pytest.approx(expected[0], abs=1e-4)
    assert metrics["map50"] == pytest.approx(expected[1], abs=1e-4)
    assert expected[1] > 0.8 and expected[0] > 0.4  # which boxes at other places would not be


def pytorch_map(all_boxes, all_scores, annotations):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found = []
    for number, (boxes, scores) in enumerate(zip(all_boxes, all_scores)):
        for index, anchor in plain_nms(boxes.tolist(), scores, SSD):
            left, top, right, bottom = (boxes[anchor] * shapes.SIZE - (0, 12, 0, 12)) / 0.8
            left, right = np.clip((left, right), 0, shapes.WIDTH)
            top, bottom = np.clip((top, bottom), 0, shapes.HEIGHT)
            if right > left and bottom > top:
                found.append({"image_id": 1000 + number, "category_id": (3, 17, 90)[index],
                              "score": scores[anchor, index], "bbox": [left, top, right - left, bottom - top]})
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:2]


def test_a_letterboxed_segmenter_has_pytorchs_classes_and_no_border(scenes, tmp_path):
    images, masks, _, inputs = scenes
    shapes.write_voc(tmp_path / "voc", images, masks)
    engine = export(tmp_path, shapes, "shapes_deeplabv3", ["background", *shapes.SHAPES], fit="letterbox",
                    interpolation="bilinear")
    with quiet_torch():
        answers = load(shapes, "shapes_deeplabv3", 4).segment(inputs).numpy()[:, 12:84]
    rows, columns = ((2 * np.arange(size) + 1) * given // (2 * size) for size, given in ((90, 72), (120, 96)))
    with Segmenter(engine, runtime=ONE_THREAD) as segment:
        for image, answer in zip(images, answers):
            found = segment(Image.fromarray(image))
            assert (found.classes != answer).mean() < 1e-3
            assert (found.resized() != answer[rows[:, None], columns]).mean() < 1e-3
    counted, resized_ = shapes.with_void(masks), answers[:, rows[:, None], columns]
    expected = np.mean([((resized_ == index) & (counted == index)).sum() / (
        (counted != shapes.VOID) & ((resized_ == index) | (counted == index))).sum() for index in range(4)])
    assert expected > 0.6
    found = evaluate(engine, data=str(tmp_path / "voc"), runtime=ONE_THREAD).engines[0].metrics[0].value
    assert found == pytest.approx(expected, abs=1e-3)
