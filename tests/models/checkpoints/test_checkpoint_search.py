"""Parameters are found in whatever people's training scripts save, and nothing is chosen or dropped silently."""
import collections
import re

import pytest
from timm_layout import to_timm

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from narrow_checkpoints import (  # noqa: E402
    BODY,
    GIVEN,
    GIVEN_BN,
    GIVEN_VIT,
    NARROW,
    NARROW_BN,
    NARROW_VIT,
    NARROW_VIT_V2,
    OTHER,
    SMALL,
    assert_same,
    parameters,
    prefixed,
    without,
)

from edgenext_deploy.errors import BadInputError  # noqa: E402
from edgenext_deploy.models.checkpoints.checkpoint import load_backbone, load_checkpoint, load_published  # noqa: E402
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig, SSDLiteConfig  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.variants.reference import reference_module  # noqa: E402
from edgenext_deploy.models.variants.registry import Variant  # noqa: E402

# Prefixes and wrappers

@pytest.mark.parametrize("layout", [str, to_timm])
@pytest.mark.parametrize("prefix", [
    "module.", "_orig_mod.", "model.", "net.", "model.model.", "model._orig_mod.", "backbone.", "encoder.",
    "timm_model.", "_forward_module.", "_fsdp_wrapped_module.", "_module.", "student.", "0.model.",
    "learner.inner.network.", "model.module._orig_mod.", "stages.", "head.", "x y.",
    "base_model.model.", "policy.features_extractor.", "0.auto_model.", "model.vision_tower.0."])
def test_any_prefix(load, prefix, layout):
    loaded = load({"state_dict": prefixed(prefix, {layout(key): value for key, value in GIVEN.items()})})
    assert_same(loaded, GIVEN)
    assert loaded.layout == ("timm" if layout is to_timm else "official")


@pytest.mark.parametrize("word", [
    "_orig_mod.", "module.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.", "inner.", "layer_impl."])
@pytest.mark.parametrize("parent", ["stages.2.", "stages.", "downsample_layers.0.", "stages.1.0.xca."])
def test_any_wrapper_inside(load, word, parent):
    assert_same(load({key.replace(parent, parent + word): value for key, value in GIVEN.items()}), GIVEN)


def test_wrappers_inside_behind_a_prefix_with_the_sums_of_a_profiler(load):
    given = prefixed("net.", {key.replace("stages.", "stages.module."): value for key, value in GIVEN.items()})
    given["net.stages.total_ops"] = torch.zeros(1)
    assert_same(load({"model": given}), GIVEN)


@pytest.mark.parametrize("variant, given", [(NARROW_BN, GIVEN_BN), (NARROW_VIT, GIVEN_VIT)])
def test_prefixes_of_other_networks(load, variant, given):
    assert_same(load({"epoch": 1, "weights": prefixed("model.", given)}, variant), given)


# Containers

@pytest.mark.parametrize("content, name", [
    ({"epoch": 3, "model_state_dict": GIVEN, "optimizer_state_dict": {"state": {}}}, "model_state_dict"),
    ({"net": GIVEN, "acc": 91.2}, "net"), ({"ema": GIVEN}, "ema"), ({"module": GIVEN, "global_steps": 7}, "module"),
    ({"params": GIVEN}, "params"), ({"weights": GIVEN}, "weights"), ({"network": GIVEN}, "network"),
    ({"model": {"state_dict": GIVEN}}, "model.state_dict"), ({**GIVEN, "epoch": 3}, "bare"),
    ({"model_ema": {"module": GIVEN, "decay": 0.99}}, "model_ema.module"), ([GIVEN], "0"),
    ({"a": {"b": {"c": {"d": GIVEN}}}}, "a.b.c.d"), ({"agents": [{"policy": GIVEN}]}, "agents.0.policy"),
    ({"state": {"model": prefixed("module.", GIVEN), "optimizers": {"AdamW": {}}}, "rng": [1]}, "state.model"),
    ({"fold": 3, "best": (0.91, GIVEN)}, "best.1"),
    ({key: torch.nn.Parameter(value.clone()) for key, value in GIVEN.items()}, "bare"),
    ({"trainer": {"callbacks": {"EMA": {"ema_weights": GIVEN}}}}, "trainer.callbacks.EMA.ema_weights"),
    (collections.OrderedDict(model=collections.OrderedDict(GIVEN)), "model"), (({}, {"net": GIVEN}), "1.net")])
def test_any_container(load, content, name):
    loaded = load(content)
    assert_same(loaded, GIVEN)
    assert loaded.container == name


def test_a_dictionary_that_contains_itself(load):
    content = {"net": GIVEN}
    content["again"] = content
    assert_same(load(content), GIVEN)


def test_a_safetensors_file_with_a_prefix_and_a_metric(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors_torch.save_file({**prefixed("net.", GIVEN), "val_acc.total": torch.zeros(())}, path)
    assert_same(load_checkpoint(path, variant=NARROW), GIVEN)


# Several networks

@pytest.mark.parametrize("content, names", [
    ({"model": GIVEN, "model_ema": OTHER, "epoch": "best"}, ["model", "model_ema"]),
    ({"state_dict": GIVEN, "state_dict_ema": OTHER}, ["state_dict", "state_dict_ema"]),
    ({"state_dict": {**prefixed("student.", GIVEN), **prefixed("teacher.", OTHER)}}, ["student", "teacher"]),
    ({**GIVEN, **prefixed("ema_model.", OTHER)}, ["bare", "ema_model"]),
    ({**prefixed("module.", GIVEN), **OTHER}, ["module", "bare"]),
    ({"a": {"net": GIVEN}, "b": {"net": OTHER}}, ["a", "b"]),
    ({"models": [GIVEN, OTHER]}, ["models.0", "models.1"]),
    ({f"{who}.{'fc' if key.startswith('head') else 'body'}.{key.removeprefix('head.')}": value
      for who, given in (("student", GIVEN), ("teacher", OTHER)) for key, value in given.items()},
     ["student.body", "teacher.body"]),
    ({**prefixed("online_model.", GIVEN), **prefixed("ema_model.", OTHER), "initted": torch.tensor(True),
      "step": torch.tensor(5)}, ["online_model", "ema_model"]),
    ({"net_q.encoder." + key: value for key, value in GIVEN.items()} | prefixed("net_k.encoder.", OTHER),
     ["net_q.encoder", "net_k.encoder"]),
    ({"online_model": prefixed("module.", GIVEN), "ema": {"shadow": OTHER}}, ["online_model", "ema"])])
def test_of_several_networks_one_must_be_asked_for(load, refusal, content, names):
    error = refusal(content)
    assert "holds 2 networks that fit" in error.message and all(name in error.message for name in names)
    assert "--state " in error.fix
    for name, expected in zip(names, (GIVEN, OTHER)):
        loaded = load(content, state=name)
        assert_same(loaded, expected)
        assert any("(fits too)" in note for note in loaded.notes)


def test_two_networks_with_equal_values_are_two(refusal):
    assert "student" in refusal({**prefixed("student.", GIVEN), **prefixed("teacher.", parameters())}).message


def test_a_part_of_a_name_that_means_two_is_no_choice(refusal):
    content = {"model": {**prefixed("student.", GIVEN), **prefixed("teacher.", OTHER)}}
    assert "model.student, model.teacher" in refusal(content, state="model").message


def test_a_name_that_is_not_there(refusal):
    error = refusal({"model": GIVEN, "ema": OTHER}, state="model_ema")
    assert "nothing called model_ema" in error.message and "model, ema" in error.message


def test_a_network_of_another_size_beside_it_is_no_choice(load):
    teacher = parameters(Variant("wide", EdgeNeXtConfig(**{**SMALL, "dims": (12, 16, 20, 24)})))
    loaded = load({"student": GIVEN, "teacher": teacher, "epoch": 3})
    assert_same(loaded, GIVEN)
    assert loaded.notes == ("beside it: teacher, epoch",)


def test_the_number_of_classes_can_tell_two_networks_apart(load):
    many = parameters(classes=21)
    assert_same(load({"pretrained": many, "model": GIVEN}, num_classes=10), GIVEN)


def test_a_published_file_with_both_gives_the_averaged_weights(tmp_path):
    path = tmp_path / "published.pth"
    torch.save({"model": GIVEN, "model_ema": OTHER}, path)
    assert_same(load_published(str(path), NARROW), OTHER)


def test_a_backbone_is_found_too(tmp_path):
    model = reference_module(Variant("narrow_ssd", NARROW.config, head=SSDLiteConfig()), 3)
    path = tmp_path / "classifier.pth"
    torch.save({"model": prefixed("net.", GIVEN), "model_ema": prefixed("module.", OTHER)}, path)
    with pytest.raises(BadInputError, match="holds 2 networks"):
        load_backbone(model, checkpoint=path)
    load_backbone(model, checkpoint=path, state="model_ema")
    expected = {key: value for key, value in OTHER.items() if not key.startswith(("norm.", "head."))}
    assert all(torch.equal(value, model.get_submodule("backbone").state_dict()[key]) for key, value in expected.items())


# Bookkeeping

@pytest.mark.parametrize("extra", [
    {"total_ops": 1, "total_params": 1, "stages.0.0.total_ops": 1}, {"criterion.weight": 10}, {"val_acc.confmat": 9},
    {"mean": 3, "std": 3}, {"normalize.mean": 3, "normalize.std": 3}, {"loss_fn.pos_weight": 10}, {"n_averaged": 1},
    {"train_metrics.accuracy.tp": 10}, {"top1.correct": 1}, {"ema_decay": 1}, {"step": 1, "initted": 1},
    {"arcface_loss.weight": 10}, {"class_freq": 10}, {"valid_f1.fp": 10, "valid_f1.fn": 10}, {"label_counts": 10},
    {"mixup.epoch": 1, "logit_std": 1}, {"cls_num_list": 10}])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_bookkeeping_is_left_out_with_one_note(load, extra, prefix):
    tensors = {prefix + key: torch.zeros(count) for key, count in extra.items()}
    loaded = load({"state_dict": {**prefixed(prefix, GIVEN), **tensors}})
    assert_same(loaded, GIVEN)
    assert [note for note in loaded.notes if note.startswith("left out")] == [
        "left out, as no parameters: " + ", ".join(extra)]


@pytest.mark.parametrize("extra", [
    "stages.2.7.gamma", "stages.0.0.loss", "head2.weight", "neck.conv.weight", "norm.mean", "extra"])
def test_a_tensor_that_could_be_a_parameter_is_an_error(refusal, extra):
    error = refusal({**GIVEN, extra: torch.zeros(3)})
    assert f"1 key not expected ({extra})" in error.message
    assert "but for that it is" not in error.message or "narrow with 10 classes" in error.message


def test_beside_the_prefix_nothing_is_a_parameter(load):
    loaded = load({**prefixed("model.", GIVEN), "projector.weight": torch.zeros(3, 3)})
    assert_same(loaded, GIVEN)
    assert loaded.notes == ("beside it: projector",)


@pytest.mark.parametrize("variant, given", [(NARROW_BN, GIVEN_BN), (NARROW_VIT, GIVEN_VIT)])
@pytest.mark.parametrize("kept", [0, 1])
def test_counters_of_batch_norms_are_filled_in(load, variant, given, kept):
    counters = [key for key in given if key.endswith("num_batches_tracked")]
    loaded = load(without(given, *counters[kept:]), variant)
    assert_same(loaded, {key: value if key not in counters[kept:] else torch.zeros((), dtype=torch.int64)
                         for key, value in given.items()})
    assert f"{len(counters) - kept} num_batches_tracked" in loaded.notes[0]


@pytest.mark.parametrize("key", ["norm.running_mean", "norm.running_var", "stages.0.0.gamma"])
def test_a_missing_statistic_or_parameter_is_an_error(refusal, key):
    message = refusal({"model": prefixed("net.", without(GIVEN_BN, key))}, NARROW_BN).message
    assert f"1 key missing ({key})" in message
    assert "but for that it is narrow_bn with 10 classes in model.net" in message


# Heads and stems

@pytest.mark.parametrize("variant, given, head, inner", [
    (NARROW, GIVEN, "head", "head.1"), (NARROW, GIVEN, "head", "head.0"), (NARROW, GIVEN, "head", "head.fc"),
    (NARROW, GIVEN, "head", "head.fc.1"), (NARROW, GIVEN, "head", "head.classifier.linear"),
    (NARROW_VIT, GIVEN_VIT, "head.fc", "head.fc.1"), (NARROW_BN, GIVEN_BN, "head", "head.2")])
def test_a_linear_layer_inside_the_head(load, variant, given, head, inner):
    moved = without(given, head + ".weight", head + ".bias")
    moved.update({f"{inner}.{leaf}": given[f"{head}.{leaf}"] for leaf in ("weight", "bias")})
    loaded = load({"model": prefixed("module.", moved)}, variant)
    assert_same(loaded, given)
    # ``head.fc`` alone is a wrapper as any other.
    assert inner == "head.fc" or f"{inner} taken as the linear layer" in loaded.notes[0]


def test_a_linear_layer_inside_the_head_of_timm(load):
    given = {to_timm(key): value for key, value in GIVEN.items()}
    for leaf in ("weight", "bias"):
        given["head.fc.1." + leaf] = given.pop("head.fc." + leaf)
    assert_same(load(given), GIVEN)


@pytest.mark.parametrize("layout", [str, to_timm])
@pytest.mark.parametrize("prefix, head", [
    ("backbone.", "head"), ("encoder.", "fc"), ("model.", "classifier.1"), ("net.features.", "net.linear"),
    ("module.backbone.", "module.cls_head"), ("student.body.", "student.head_fc2")])
def test_a_classifier_beside_a_backbone(load, prefix, head, layout):
    body = {layout(key): value for key, value in BODY.items()}
    outer = {f"{head}.{leaf}": GIVEN["head." + leaf] for leaf in ("weight", "bias")}
    loaded = load({"state_dict": {**prefixed(prefix, body), **outer, "criterion.weight": torch.ones(10)}})
    assert_same(loaded, GIVEN)
    assert loaded.notes[0].startswith(f"{head} beside the backbone taken as its head")
    assert not any(note.startswith("beside it") and head.split(".")[-1] in note for note in loaded.notes)


def test_the_layout_of_mmpretrain(load):
    """As tools/model_converters/edgenext_to_mmpretrain.py names them, which replaces words wherever they stand."""
    words = {"dwconv": "depthwise_conv", "pwconv": "pointwise_conv", "xca": "csa", "convs": "conv_modules",
             "token_projection": "proj", "pos_embd": "pos_embed", "temperature": "scale"}

    def renamed(key):
        for ours, theirs in words.items():
            key = key.replace(ours, theirs)
        return key.replace("head.", "head.fc.") if key.startswith("head.") else "backbone." + (
            key.replace("norm.", "norm3.") if key.startswith("norm.") else key)

    loaded = load({"meta": {}, "state_dict": {renamed(key): value for key, value in GIVEN.items()}})
    assert_same(loaded, GIVEN)
    assert (loaded.layout, loaded.container) == ("mmpretrain", "state_dict.backbone")


@pytest.mark.parametrize("beside", [
    {"projector.weight": (10, 20)}, {"head.weight": (10, 20), "neck.weight": (20,)}, {"head.weight_g": (10, 1)},
    {"fc1.weight": (20, 20), "fc2.weight": (10, 20)}, {"head.bias": (10,)},
    {"head.weight": (10, 20), "head.scale": (1,)}])
def test_what_may_be_more_than_a_classifier_beside_a_backbone_is_not_taken(refusal, beside):
    given = {**prefixed("backbone.", BODY), **{key: torch.ones(shape) for key, shape in beside.items()}}
    assert "it is a backbone without a head" in refusal(given).message


def test_a_classifier_beside_a_backbone_of_another_width_is_named(refusal):
    given = {**prefixed("backbone.", BODY), "head.weight": torch.ones(10, 32), "head.bias": torch.ones(10)}
    assert "head.weight is [10, 32], [10, 20] expected" in refusal(given).message


def test_a_head_without_a_bias(load):
    loaded = load(without(GIVEN, "head.bias"))
    assert_same(loaded, {**GIVEN, "head.bias": torch.zeros(10)})
    assert "without a bias" in loaded.notes[0]


def test_a_head_that_is_a_convolution(load):
    loaded = load({**GIVEN, "head.weight": GIVEN["head.weight"][:, :, None, None]})
    assert_same(loaded, GIVEN)
    assert "1x1 convolution" in loaded.notes[0]


@pytest.mark.parametrize("head, words", [
    ({}, "it is a backbone without a head"),
    ({"classifier.weight": (10, 20)}, "it is a backbone without a head"),
    ({"head.0.weight": (64, 20), "head.0.bias": (64,), "head.3.weight": (10, 64), "head.3.bias": (10,)},
     "its head has 2 layers with parameters (head.0, head.3)"),
    ({"head.bias": (10,), "head.parametrizations.weight.original1": (10, 20)}, "its head.weight is parametrized"),
    ({"head.bias": (10,), "head.weight_g": (10, 1), "head.weight_v": (10, 20)}, "its head.weight is parametrized"),
    ({"head.bias": (10,), "head.weight_orig": (10, 20), "head.weight_mask": (10, 20)}, "its head.weight is param"),
    ({"head.1.scale": (20,)}, "its head has no weight"),
    ({"head.weight": (10, 20, 3, 3), "head.bias": (10,)}, "its head.weight is [10, 20, 3, 3]")])
def test_a_head_that_cannot_be_taken_is_named(refusal, head, words):
    message = refusal({**BODY, **{key: torch.ones(shape) for key, shape in head.items()}}).message
    assert words in message and "1000" not in message


@pytest.mark.parametrize("variant, given, stem", [
    (NARROW, GIVEN, "downsample_layers.0.0.weight"), (NARROW_VIT, GIVEN_VIT, "stem.conv.weight")])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_stem_for_other_channels_is_named(refusal, variant, given, stem, channels):
    error = refusal({**given, stem: given[stem][:, :1].repeat(1, channels, 1, 1)}, variant)
    assert f"trained on images of {channels} channel" in error.message
    assert ("repeat(1, 3, 1, 1) / 3" in error.fix) == (channels == 1)


# The other homes of MobileViT

@pytest.mark.parametrize("prefix", ["", "mobilevit.", "model.mobilevit."])
@pytest.mark.parametrize("publisher, stem", [
    ("transformers", "conv_stem.convolution."), ("ml-cvnets", "conv_1.block.conv.")])
@pytest.mark.parametrize("variant, title, attention", [
    (NARROW_VIT, "MobileViT", {
        "transformers": r"encoder.layer.\1.transformer.layer.\2.attention.attention.query.",
        "ml-cvnets": r"layer_\1.1.global_rep.\2.pre_norm_mha.1.qkv_proj."}),
    (NARROW_VIT_V2, "MobileViT-v2", {
        "transformers": r"encoder.layer.\1.transformer.layer.\2.attention.qkv_proj.convolution.",
        "ml-cvnets": r"layer_\1.1.global_rep.\2.pre_norm_attn.1.qkv_proj.block.conv."})])
def test_mobilevit_under_other_names_is_named(refusal, variant, title, attention, publisher, stem, prefix):
    ours = r"stages\.(\d)\.1\.transformer\.(\d)\.attn\.qkv(_proj)?\."
    given = create_model(variant).state_dict()
    renamed = {re.sub(ours, attention[publisher], key.replace("stem.conv.", stem)): value
               for key, value in given.items()}
    assert len(renamed.keys() - given.keys()) > 3
    error = refusal({"state_dict": prefixed(prefix, renamed)}, variant)
    assert f"is a {publisher} checkpoint of {title}, which is not read" in error.message
    assert "--pretrained" in error.fix and "BGR" in error.fix


# What is said of it

def test_another_variant_is_recognised_behind_a_prefix(refusal):
    error = refusal({"state_dict": prefixed("net.", dict(create_model("xxs", num_classes=7).state_dict()))})
    assert "holds xxs with 7 classes" in error.message and "--variant xxs" in error.fix


@pytest.mark.parametrize("content", [
    {"model": prefixed("net.", without(GIVEN, "norm.bias"))}, {"net": without(GIVEN, "norm.bias"), "epoch": 1},
    {to_timm(key): value for key, value in without(GIVEN, "norm.bias").items()}])
def test_an_error_says_how_near_the_file_is(refusal, content):
    message = refusal(content).message
    assert "1 key missing (norm.bias); but for that it is narrow with 10 classes" in message


def test_an_error_names_the_variant_that_comes_nearest(refusal):
    given = without(dict(create_model("xs", num_classes=7).state_dict()), "norm.bias")
    deep = Variant("deep", EdgeNeXtConfig(**{**SMALL, "depths": (2, 2, 2, 2)}))
    assert "nearest is xs" in refusal(given, deep).message


def test_a_file_with_nothing_alike_claims_no_nearness(refusal):
    message = refusal({f"layer{index}.weight": torch.zeros(2) for index in range(90)}).message
    assert "90 keys not expected" in message and "but for that" not in message and "head" not in message.split(":")[0]


def test_a_file_with_many_long_names_is_refused_in_time(refusal):
    assert "not expected" in refusal({".".join("a" * 12) + str(index): torch.zeros(1) for index in range(500)}).message


def test_the_manifest_says_what_was_taken_and_what_was_not(tmp_path):
    from edgenext_deploy.export.resolved import WeightsSource
    from edgenext_deploy.export.weights import load_reference

    path = tmp_path / "checkpoint-best.pth"
    torch.save({"model": GIVEN, "model_ema": {**OTHER, "total_ops": torch.zeros(1)}, "epoch": 3}, path)
    reference = load_reference(NARROW, WeightsSource(None, str(path), False, 0, "model_ema"), None, print)
    assert reference.weights.source == (
        "checkpoint-best.pth (model_ema, official layout; left out, as no parameters: total_ops; "
        "beside it: model (fits too), epoch)")
    torch.save(GIVEN, path)
    reference = load_reference(NARROW, WeightsSource(None, str(path), False, 0), None, print)
    assert reference.weights.source == "checkpoint-best.pth (bare, official layout)"


def test_names_from_a_file_cannot_steer_a_terminal(load, refusal):
    loaded = load({"\x1b[2J": GIVEN, "\x1b[1m": [1]})
    assert all(text.isprintable() for text in (loaded.container, *loaded.notes))
    assert refusal({"\x1b[2J": GIVEN, "b": OTHER}).message.isprintable()


def test_the_option_of_the_command():
    from click.testing import CliRunner

    from edgenext_deploy.export.commands.cli import export_command

    assert "--state NAME" in CliRunner().invoke(export_command, ["--help"]).output
    from edgenext_deploy.errors import UsageError
    from edgenext_deploy.export.request import ExportRequest

    with pytest.raises(UsageError, match="--weights is missing"):
        ExportRequest("xxs", state="model").resolve()
    with pytest.raises(UsageError, match="checkpoint is missing"):
        create_model("xxs", state="model")
