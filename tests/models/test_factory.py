"""`create_model`: where its weights come from, and its old call."""
import pytest

torch = pytest.importorskip("torch")

from edgenext_deploy.errors import BadInputError, UsageError  # noqa: E402
from edgenext_deploy.models import factory  # noqa: E402
from edgenext_deploy.models.checkpoints.checkpoint import load_backbone, load_checkpoint  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.variants.reference import reference_module  # noqa: E402
from edgenext_deploy.models.variants.registry import get_variant  # noqa: E402

XXS = get_variant("xxs")


def same(model, other):
    return all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.fixture
def checkpoint(tmp_path):
    """Return a model of seven classes and the path of its weights."""
    model, path = reference_module(XXS, 7, seed=5), tmp_path / "weights.pth"
    torch.save(model.state_dict(), path)
    return model, path


def test_a_checkpoint_says_how_many_classes_there_are(checkpoint):
    model, path = checkpoint
    made = create_model("xxs", checkpoint=path)
    assert same(made, model) and not made.training
    assert same(create_model(XXS, checkpoint=str(path), num_classes=7), model)
    with pytest.raises(BadInputError, match="has 7 classes, 8 expected"):
        create_model("xxs", checkpoint=path, num_classes=8)


def test_pretrained_fetches_the_published_file(checkpoint, monkeypatch):
    model, path = checkpoint
    monkeypatch.setattr(factory, "fetch", lambda variant: {"xxs": str(path)}[variant.name])
    assert same(create_model("xxs", pretrained=True), model)
    with pytest.raises(UsageError, match="exclude each other"):
        create_model("xxs", pretrained=True, checkpoint=path)


def test_nothing_is_published_for_a_detector():
    with pytest.raises(UsageError, match="no weights are published for xxs_ssdlite"):
        create_model("xxs_ssdlite", pretrained=True)


def test_the_old_positional_call_still_works():
    with pytest.warns(DeprecationWarning, match=r"write create_model\('xxs', num_classes=10, seed=3\)"):
        made = create_model("xxs", 10, 3)
    assert same(made, create_model("xxs", num_classes=10, seed=3))


def test_the_old_calls_of_loading_still_work(checkpoint):
    model, path = checkpoint
    with pytest.warns(DeprecationWarning, match=r"write load_checkpoint\(.*, variant=.*, num_classes=7\)"):
        assert load_checkpoint(path, XXS, 7).num_classes == 7
    assert load_checkpoint(path, variant="xxs").num_classes == 7
    detector = create_model("xxs_ssdlite", num_classes=2)
    with pytest.warns(DeprecationWarning, match=r"write load_backbone\(.*, checkpoint="):
        load_backbone(detector, path)
    assert torch.equal(detector.backbone.stages[0][0].gamma, model.stages[0][0].gamma)


@pytest.mark.parametrize("num_classes", [0, -1, True, 2.0, "10"])
def test_what_is_no_number_of_classes_is_refused(tmp_path, num_classes):
    path = tmp_path / "weights.pth"
    torch.save(reference_module(XXS, 7).state_dict(), path)
    for given in ({}, {"checkpoint": path}):
        with pytest.raises(UsageError, match="num_classes must be a whole number of at least 1"):
            create_model("xxs", num_classes=num_classes, **given)
