import argparse
import functools
import hashlib
import os
import pickle
import random
import zipfile

import pytest
from sweeps import examples
from timm_layout import to_timm

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from edgenext_deploy.errors import BadInputError, MissingRuntimeError  # noqa: E402
from edgenext_deploy.models.checkpoints.checkpoint import apply, digest_of, load_checkpoint, load_published  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.variants.registry import get_variant  # noqa: E402

XXS = get_variant("xxs")


@functools.lru_cache(maxsize=None)
def made_parameters(name, seed, num_classes):
    return create_model(name, num_classes=num_classes, seed=seed).state_dict()


def parameters(name="xxs", seed=3, num_classes=1000):
    """Return a state dict, tensors and all the caller's own."""
    return {key: value.clone() for key, value in made_parameters(name, seed, num_classes).items()}


def save(folder, content, name="weights.pth", **options):
    path = folder / name
    torch.save(content, path, **options)
    return path


def save_bytes(folder, content, name="weights.pth"):
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path, variant=XXS, num_classes=1000):
    """Return the error of loading `path`, checked for what all such errors have in common."""
    with pytest.raises(BadInputError) as caught:
        load_checkpoint(path, variant=variant, num_classes=num_classes)
    error = caught.value
    assert error.exit_code == 3
    assert str(path) in error.message
    assert "\n" not in error.message
    assert error.fix
    return error


def assert_same(loaded, expected):
    assert loaded.state_dict.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(loaded.state_dict[key], value), key


# What is read

@pytest.mark.parametrize("container", ["model_ema", "state_dict_ema", "state_dict", "model", "bare"])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_container_in_both_formats_of_torch(tmp_path, container, zipped):
    given = parameters()
    content = given if container == "bare" else {container: given, "epoch": 300}
    path = save(tmp_path, content, _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint(path, variant=XXS)
    assert_same(loaded, given)
    assert (loaded.container, loaded.layout, loaded.file) == (container, "official", "weights.pth")
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_official_training_checkpoint_has_averaged_weights_too(tmp_path):
    averaged, plain = parameters(seed=1), parameters(seed=2)
    optimizer = torch.optim.AdamW(create_model("xxs").parameters()).state_dict()
    path = save(tmp_path, {
        "model": plain, "optimizer": optimizer, "epoch": 299, "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(model="edgenext_xx_small", lr=6e-3, output_dir=None),
        "model_ema": averaged})
    error = refusal(path)
    assert "holds 2 networks that fit: model, model_ema" in error.message
    assert error.fix == "say which one to take: --state model or --state model_ema"
    for state, expected in {"model": plain, "model_ema": averaged}.items():
        loaded = load_checkpoint(path, variant=XXS, state=state)
        assert loaded.container == state
        assert_same(loaded, expected)
    loaded = load_published(str(path), XXS)  # the published accuracy is that of the averaged weights
    assert loaded.container == "model_ema" and "model (fits too)" in loaded.notes[0]
    assert_same(loaded, averaged)


def test_timm_training_checkpoint_has_averaged_weights_too(tmp_path):
    averaged, plain = parameters(seed=1), parameters(seed=2)
    path = save(tmp_path, {
        "epoch": 9, "arch": "edgenext_xx_small", "state_dict": {to_timm(key): value for key, value in plain.items()},
        "optimizer": {}, "version": 2, "args": argparse.Namespace(model_ema=True),
        "state_dict_ema": {to_timm(key): value for key, value in averaged.items()}})
    assert "state_dict, state_dict_ema" in refusal(path).message
    loaded = load_checkpoint(path, variant=XXS, state="state_dict_ema")
    assert (loaded.container, loaded.layout) == ("state_dict_ema", "timm")
    assert_same(loaded, averaged)


def test_the_counter_of_an_averaged_model_is_no_parameter(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(create_model("xxs", seed=4))
    loaded = load_checkpoint(save(tmp_path, {"model_ema": averaged.state_dict()}), variant=XXS)
    assert_same(loaded, parameters(seed=4))


def test_empty_containers_are_passed_over(tmp_path):
    given = parameters(seed=1)
    loaded = load_checkpoint(save(tmp_path, {"model": {}, "state_dict": given, "model_ema": None}), variant=XXS)
    assert loaded.container == "state_dict"
    assert_same(loaded, given)


def test_safetensors_whatever_the_name(tmp_path):
    given = parameters()
    path = tmp_path / "model.bin"
    safetensors_torch.save_file(given, path, metadata={"format": "pt"})
    loaded = load_checkpoint(path, variant=XXS)
    assert loaded.container == "bare"
    assert_same(loaded, given)


def test_torch_file_named_safetensors(tmp_path):
    assert_same(load_checkpoint(save(tmp_path, parameters(), "model.safetensors"), variant=XXS), parameters())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapper_prefixes_are_stripped(tmp_path, prefix):
    given = parameters()
    path = save(tmp_path, {"state_dict": {prefix + key: value for key, value in given.items()}})
    assert_same(load_checkpoint(path, variant=XXS), given)


def test_timm_layout(tmp_path):
    given = parameters()
    loaded = load_checkpoint(save(tmp_path, {to_timm(key): value for key, value in given.items()}), variant=XXS)
    assert loaded.layout == "timm"
    assert_same(loaded, given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    given = {key: value.to(dtype) for key, value in parameters().items()}
    loaded = load_checkpoint(save(tmp_path, given), variant=XXS)
    assert {value.dtype for value in loaded.state_dict.values()} == {torch.float32}
    assert_same(loaded, {key: value.float() for key, value in given.items()})


def test_counters_of_batch_norms_keep_their_dtype(tmp_path):
    given = {key: value.half() for key, value in parameters("xxs_bn_hs").items()}
    loaded = load_checkpoint(save(tmp_path, given), variant=get_variant("xxs_bn_hs"))
    assert loaded.state_dict["norm.num_batches_tracked"].dtype == torch.int64
    apply(create_model("xxs_bn_hs"), loaded)


def test_other_class_count(tmp_path):
    path = save(tmp_path, parameters(num_classes=10))
    model = create_model("xxs", num_classes=10)
    apply(model, load_checkpoint(path, variant=XXS, num_classes=10))
    assert digest_of(model.state_dict()) == digest_of(parameters(num_classes=10))


# What does not fit

def test_missing_key(tmp_path):
    given = parameters()
    del given["stages.1.1.gamma_xca"]
    error = refusal(save(tmp_path, given))
    assert "does not fit xxs, which has 160 keys: 1 key missing (stages.1.1.gamma_xca)" in error.message


def test_unexpected_keys_are_listed_and_counted(tmp_path):
    given = parameters()
    given.update({f"extra.{index}": torch.zeros(1) for index in range(5)})
    message = refusal(save(tmp_path, given)).message
    assert "5 keys not expected (extra.0, extra.1, extra.2 and 2 more)" in message


def test_names_from_the_file_are_shortened_and_cannot_steer_a_terminal(tmp_path):
    given = parameters()
    given["\x1b[2Jx\n" * 50] = torch.zeros(1)
    message = refusal(save(tmp_path, given)).message
    assert "1 key not expected (\\x1b[2Jx\\n" in message
    assert message.isprintable()
    assert len(message) < 500


def test_misshapen_key(tmp_path):
    given = parameters()
    given["stages.0.0.gamma"] = torch.zeros(25)
    message = refusal(save(tmp_path, given)).message
    assert "1 key of another shape (stages.0.0.gamma is [25], [24] expected)" in message


def test_two_keys_for_one_parameter(tmp_path):
    given = {to_timm(key): value for key, value in parameters().items()}
    given["norm.weight"] = torch.zeros(168)
    message = refusal(save(tmp_path, given)).message
    assert "head.norm.weight" in message
    assert "both mean norm.weight" in message


@pytest.mark.parametrize(("held", "asked"), [
    ("xs", "xxs"), ("xxs_bn_hs", "xxs"), ("xxs", "mobilevit_xxs"), ("mobilevit_xs", "mobilevit_s"),
    ("s_rw", "s"), ("mobilevitv2_050", "mobilevit_xxs")])
def test_file_of_another_variant_is_recognised(tmp_path, held, asked):
    error = refusal(save(tmp_path, {"model": parameters(held)}), get_variant(asked))
    assert f"holds {held} with 1000 classes, {asked} with 1000 expected" in error.message
    assert error.fix == f"run with --variant {held}"


def test_file_of_another_variant_and_class_count(tmp_path):
    error = refusal(save(tmp_path, parameters("xs", num_classes=5)))
    assert error.fix == "run with --variant xs --num-classes 5"


@pytest.mark.parametrize("layout", [str, to_timm])
def test_wrong_class_count(tmp_path, layout):
    given = {layout(key): value for key, value in parameters(num_classes=10).items()}
    error = refusal(save(tmp_path, given), num_classes=1000)
    assert "has 10 classes, 1000 expected" in error.message
    assert error.fix == "pass --num-classes 10, or leave it out"


def test_wrong_class_count_of_mobilevit(tmp_path):
    error = refusal(save(tmp_path, parameters("mobilevit_xxs")), get_variant("mobilevit_xxs"), num_classes=3)
    assert "has 1000 classes, 3 expected" in error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_that_is_not_finite(tmp_path, value):
    given = parameters()
    given["head.bias"][7] = value
    assert "head.bias: 1 of 1000 values are NaN or infinite" in refusal(save(tmp_path, given)).message


def test_double_precision_value_beyond_float32(tmp_path):
    given = parameters()
    given["head.bias"] = torch.full((1000,), 1e300, dtype=torch.float64)
    assert "head.bias: 1000 of 1000 values" in refusal(save(tmp_path, given)).message


def test_integer_weights(tmp_path):
    given = parameters()
    given["head.weight"] = (given["head.weight"] * 100).to(torch.int8)
    assert "head.weight is torch.int8, a floating dtype expected" in refusal(save(tmp_path, given)).message


def test_sparse_weights(tmp_path):
    given = parameters()
    given["head.weight"] = given["head.weight"].to_sparse()
    assert "head.weight is not a plain tensor" in refusal(save(tmp_path, given)).message


# What is no checkpoint

def test_missing_file_and_folder(tmp_path):
    assert "not found" in refusal(tmp_path / "nothing.pth").message
    assert "is not a file" in refusal(tmp_path).message


def test_empty_file(tmp_path):
    assert "is empty" in refusal(save_bytes(tmp_path, b"")).message


@pytest.mark.parametrize(("content", "expected"), [
    (b"hello, these are no weights", "is not a checkpoint: it starts with b'hello, t'"),
    (b"x", "is not a checkpoint"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a checkpoint"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    (b"\n<!DOCTYPE html><html><title>404</title></html>", "is a web page"),
    (pickle.dumps({"a": 1}), "is cut off, damaged, or not a checkpoint"),
    (pickle.dumps([1, 2]) * 5, "is cut off, damaged, or not a checkpoint"),
])
def test_other_content(tmp_path, content, expected):
    assert expected in refusal(save_bytes(tmp_path, content)).message


def test_other_zip_archive(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "no data.pkl" in refusal(path).message


def test_torchscript_program(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/constants.pkl", b"")
    assert "TorchScript" in refusal(path).message


@pytest.mark.parametrize(("content", "expected"), [
    ({"epoch": 3, "optimizer": {}}, "a dictionary with the keys epoch, optimizer found"),
    ({"model": None, "state_dict": {}, "epoch": 3}, "no state dict"),
    ({"model": {"a": 1}}, "no state dict"),
    ({}, "an empty dictionary found"),
    ([torch.zeros(3)], "a list found"),
    (torch.zeros(3), "a Tensor found"),
    (argparse.Namespace(model=1), "a Namespace found"),
])
def test_no_state_dict_inside(tmp_path, content, expected):
    message = refusal(save(tmp_path, content)).message
    assert "no state dict in it" in message
    assert expected in message


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_cut_off_torch_file(tmp_path, zipped, kept):
    content = save(tmp_path, parameters(), _use_new_zipfile_serialization=zipped).read_bytes()
    message = refusal(save_bytes(tmp_path, content[:int(kept * len(content))])).message
    assert "cut off" in message


@pytest.mark.parametrize("kept", [9, 2000, 1_000_000])
def test_cut_off_safetensors(tmp_path, kept):
    content = safetensors_torch.save(parameters())
    message = refusal(save_bytes(tmp_path, content[:kept])).message
    assert "safetensors file that is cut off" in message


def test_safetensors_with_a_broken_header(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,9]}}'
    path = save_bytes(tmp_path, len(header).to_bytes(8, "little") + header + bytes(9))
    assert "safetensors file that is cut off or damaged" in refusal(path).message


def test_damaged_bytes_give_one_kind_of_error(tmp_path):
    small = {"stem.0.weight": torch.zeros(4), "head.fc.weight": torch.ones(2, 3)}
    originals = [
        save(tmp_path, small).read_bytes(),
        save(tmp_path, small, _use_new_zipfile_serialization=False).read_bytes(),
        safetensors_torch.save(small)]
    generator = random.Random(5)
    for original in originals:
        for _ in range(examples(60)):
            content = bytearray(original)
            for _ in range(generator.randint(1, 4)):
                content[generator.randrange(len(content))] = generator.randrange(256)
            refusal(save_bytes(tmp_path, bytes(content)))


# What would run code

class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("write", [
    lambda content, path: torch.save(content, path),
    lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2)),
], ids=["zip", "legacy", "plain"])
def test_pickle_that_runs_a_shell_command(tmp_path, write):
    marker, path = tmp_path / "marker", tmp_path / "weights.pth"
    write({"args": Malicious(os.system, f"touch {marker}"), "model": parameters()}, path)
    error = refusal(path)
    assert not marker.exists()
    assert f"it asks for {os.name}.system" in error.message
    assert "nothing of it was run" in error.message


def test_a_namespace_does_not_let_others_in(tmp_path):
    args = argparse.Namespace(hook=Malicious(eval, "1/0"))
    assert "it asks for eval," in refusal(save(tmp_path, {"model": parameters(), "args": args})).message


def test_namespace_is_allowed_only_while_loading(tmp_path):
    path = save(tmp_path, {"model": parameters(), "args": argparse.Namespace(a=1)})
    load_checkpoint(path, variant=XXS)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_whole_pickled_model_names_its_class(tmp_path):
    message = refusal(save(tmp_path, create_model("xxs"))).message
    assert "edgenext_deploy.models.definitions.edgenext.EdgeNeXt" in message


def test_safetensors_without_its_library(tmp_path, monkeypatch):
    path = save_bytes(tmp_path, safetensors_torch.save({"a": torch.zeros(1)}))
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(MissingRuntimeError, match="safetensors library"):
        load_checkpoint(path, variant=XXS)


# Digest

def test_digest_sees_names_and_values_but_not_order_or_precision_of_storage():
    first = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    again = {"b": first["b"].double(), "a": first["a"].half()}
    assert digest_of(first) == digest_of(again)
    assert digest_of(first) == hashlib.sha256(
        b"a\0" + bytes.fromhex("0000803f00000040") + b"b\0" + bytes.fromhex("00004040")).hexdigest()
    assert digest_of(first) != digest_of({"a": first["a"], "c": first["b"]})
    assert digest_of(first) != digest_of({"a": first["a"], "b": -first["b"]})
