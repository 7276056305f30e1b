"""The table of formulations: names, what goes together, and what is refused."""
import pytest

from edgenext_deploy.errors import UsageError
from edgenext_deploy.formulations import AXES, Formulation, candidates_for, parse_formulation
from edgenext_deploy.targets import TARGETS


@pytest.mark.parametrize("name, choices", [
    ("nchw", {}), ("tokens", {"layout": "tokens", "linear": "gemm"}),
    ("tokens-attribute", {"layout": "tokens", "linear": "gemm", "padding": "attribute"}),
    ("nchw-scaled-scores", {"norm": "scaled", "attention": "scores"})])
def test_a_name_stands_for_one_choice_on_each_axis(name, choices):
    assert parse_formulation(name) == Formulation(**choices)
    assert parse_formulation(name).name == name


def test_words_come_in_any_order_and_defaults_may_be_named():
    assert parse_formulation("nchw-scores-conv-scaled").name == "nchw-scaled-scores"


def test_every_candidate_has_its_own_name():
    for target in TARGETS.values():
        names = candidates_for(bool(target.tensorrt), target.formulation)
        assert names[0] == target.formulation and len(set(names)) == len(names) > 5
        assert [parse_formulation(name).name for name in names] == list(names)


def test_words_belong_to_one_axis():
    words = [choice for choices in AXES.values() for choice in choices]
    assert len(set(words)) == len(words) and not [word for word in words if "-" in word]


@pytest.mark.parametrize("name, message", [
    ("", "unknown word ''"), ("nhwc", "unknown word 'nhwc'"), ("scaled", "unknown word 'scaled'"),
    ("nchw-fast", "unknown word 'fast'"), ("nchw-tokens", "unknown word 'tokens'"),
    ("nchw-scaled-onepass", "two choices of norm"), ("nchw-gemm", "gemm linear layers do not go with layout nchw"),
    ("tokens-conv", "conv linear layers"), ("nchw-instance", "needs the channels last"),
    ("tokens-channelslast", "for maps and 1x1 convolutions"), ("nchw-matmul-behind", "behind is for maps and")])
def test_what_does_not_exist_is_refused(name, message):
    with pytest.raises(UsageError, match=message):
        parse_formulation(name)


def test_another_layout_brings_its_own_linear_layers():
    assert parse_formulation("nchw-scaled").replaced(layout="tokens").name == "tokens-scaled"
    assert parse_formulation("tokens-attribute").replaced(layout="nchw", padding="node").name == "nchw"
    with pytest.raises(UsageError, match="instance"):
        parse_formulation("tokens-instance").replaced(layout="nchw")
