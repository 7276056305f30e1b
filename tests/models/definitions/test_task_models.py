"""Detectors and segmenters: counts as in the facts, what `forward` gives for training, checkpoints of one's own."""
import dataclasses

import pytest

torch = pytest.importorskip("torch")

from edgenext_deploy.errors import BadInputError  # noqa: E402
from edgenext_deploy.models.checkpoints.checkpoint import load_backbone, load_checkpoint  # noqa: E402
from edgenext_deploy.models.counts import count_madds, count_parameters  # noqa: E402
from edgenext_deploy.models.definitions.config import SSDLITE_FIVE_LEVELS, DeepLabConfig  # noqa: E402
from edgenext_deploy.models.factory import create_model, randomise  # noqa: E402
from edgenext_deploy.models.stored_counts import stored_counts  # noqa: E402
from edgenext_deploy.models.variants.registry import VARIANTS, get_variant  # noqa: E402


def variant(name, **changes):
    return dataclasses.replace(get_variant(name), **changes)


def counts(known, classes=None):
    with torch.device("meta"):
        model = create_model(known, num_classes=classes)
    return count_parameters(model), count_madds(model, known.image_size, known.image_size) / 1e9


# Parameters and 1e9 multiply-adds, measured on ml-cvnets' heads with fvcore 0.1.5. Ours resizes the map of 33x33 to
# 512x512 where that resizes by 16, to 528x528: of the 8.730 measured there, 0.0014 are for what is beyond.
@pytest.mark.parametrize("known, classes, parameters, madds", [
    (variant("s_ssdlite"), None, 6277794, 2.1369),
    (variant("s_ssdlite"), 79, 6269824, 2.1355),
    (variant("s_ssdlite", head=SSDLITE_FIVE_LEVELS), None, 6192548, 2.1366),
    (variant("mobilevit_s_ssdlite"), None, 5738826, 3.478),
    (variant("mobilevit_s_ssdlite", head=SSDLITE_FIVE_LEVELS), None, 5653580, 3.478),
    (variant("s_deeplabv3"), None, 6495837, 8.730 - 0.0014),
    (variant("mobilevit_s_deeplabv3"), None, 6357941, 13.857),
    (variant("mobilevit_s_deeplabv3", head=DeepLabConfig(128)), None, 5514037, 13.014),
])
def test_counts(known, classes, parameters, madds):
    if classes is None and known == get_variant(known.name):
        # The file's, which test_counts.py counts again.
        stored = stored_counts(known)
        found = stored.parameters, stored.madds[str(known.image_size)] / 1e9
    else:
        found = counts(known, classes)
    assert found[0] == parameters and found[1] == pytest.approx(madds, abs=0.00051)


def test_every_head_is_on_every_backbone_that_the_paper_compares():
    names = ["xxs", "xs", "s", "mobilevit_xxs", "mobilevit_xs", "mobilevit_s"]
    assert [name for name, known in VARIANTS.items() if known.group == "task"] == [
        name + head for head in ("_ssdlite", "_deeplabv3") for name in names]
    for name in names:
        for head, task, size, classes, labels in (
                ("_ssdlite", "detection", 320, 80, "coco80"), ("_deeplabv3", "segmentation", 512, 21, "voc21")):
            known = get_variant(name + head)
            assert (known.task, known.image_size, known.num_classes, known.labels) == (task, size, classes, labels)
            assert known.config == get_variant(name).config and known.mean == get_variant(name).mean
            assert known.checkpoints == () and known.crop_pct == 1.0


def test_deeplab_runs_stage_4_on_33_by_33():
    with torch.device("meta"):
        model = create_model("xxs_deeplabv3")
        maps = model.backbone.forward_features(torch.empty(1, 3, 512, 512))
    assert [tuple(one.shape[2:]) for one in maps] == [(128, 128), (64, 64), (32, 32), (33, 33)]


@pytest.mark.parametrize("name, shapes", [
    ("xxs_ssdlite", [(2, 310, 4), (2, 310, 4)]), ("mobilevit_xxs_deeplabv3", [(2, 3, 96, 96)])])
def test_forward_trains(name, shapes):
    model = create_model(name, num_classes=3).train()
    outputs = model(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert [tuple(output.shape) for output in outputs] == shapes
    sum(output.square().sum() for output in outputs).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


def test_detect_and_segment_are_what_forward_says():
    image = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        detector = randomise(create_model("xxs_ssdlite", num_classes=3), 0)
        codes, logits = detector(image)
        boxes, scores = detector.detect(image)
        assert torch.equal(scores, logits.softmax(-1)[..., 1:]) and boxes.shape == codes.shape
        assert bool((boxes[..., 2:] > boxes[..., :2]).all())
        segmenter = randomise(create_model("xxs_deeplabv3", num_classes=3), 0)
        classes = segmenter.segment(image)
        assert classes.dtype == torch.int32 and torch.equal(classes.long(), segmenter(image).argmax(1))
        assert len(classes.unique()) > 1


@pytest.mark.parametrize("name", ["xxs_ssdlite", "mobilevit_xxs_ssdlite", "xxs_deeplabv3"])
def test_own_checkpoint_says_its_classes(name, tmp_path):
    model, path = create_model(name, num_classes=5), str(tmp_path / "own.pth")
    torch.save({"module." + key: value.half() for key, value in model.state_dict().items()}, path)
    loaded = load_checkpoint(path, variant=get_variant(name))
    assert (loaded.num_classes, loaded.layout) == (5, "own")
    create_model(name, num_classes=5).load_state_dict(loaded.state_dict)
    with pytest.raises(BadInputError, match="has 5 classes, 7 expected") as caught:
        load_checkpoint(path, variant=get_variant(name), num_classes=7)
    assert "--num-classes 5, or leave it out" in caught.value.fix


def test_classifier_says_its_classes(tmp_path):
    path = str(tmp_path / "ft.pth")
    torch.save(create_model("xxs", num_classes=7).state_dict(), path)
    assert load_checkpoint(path, variant=get_variant("xxs")).num_classes == 7
    with pytest.raises(BadInputError, match="holds xxs with 7 classes, xxs_ssdlite") as caught:
        load_checkpoint(path, variant=get_variant("xxs_ssdlite"))
    assert caught.value.fix == "run with --variant xxs"


@pytest.mark.parametrize("backbone, name", [("xxs", "xxs_ssdlite"), ("mobilevit_xxs", "mobilevit_xxs_deeplabv3")])
def test_backbone_of_a_classifier(backbone, name, tmp_path):
    path, model = str(tmp_path / "classifier.pth"), create_model(name, num_classes=3)
    given = randomise(create_model(backbone, num_classes=4), 1).state_dict()
    torch.save(given, path)
    head = {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("backbone.")}
    load_backbone(model, checkpoint=path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, head[key] if key in head else given[key[len("backbone."):]])
    with pytest.raises(BadInputError, match="does not fit the backbone"):
        load_backbone(create_model("xs_ssdlite", num_classes=3), checkpoint=path)
