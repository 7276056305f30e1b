"""What lies beside the weights in a file: plain data is passed over, code is refused and never runs."""
import argparse
import collections
import contextlib
import datetime
import itertools
import os
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from narrow_checkpoints import (  # noqa: E402
    GIVEN,
    NARROW,
    assert_same,
)

from edgenext_deploy.errors import BadInputError  # noqa: E402
from edgenext_deploy.models.checkpoints.checkpoint import load_checkpoint  # noqa: E402
from edgenext_deploy.models.variants.reference import reference_module  # noqa: E402


class AttrDict(dict):
    """Like the settings of many training scripts; its class is not there when the file is read."""


class Code:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("extra", [
    np.float64(0.91), np.arange(3), np.dtype("float32"), np.float32, np.array(["a", "b"]), np.array([{}], dtype=object),
    collections.defaultdict(list), collections.defaultdict(int, a=1), collections.deque([1, 2], 5), pathlib.Path("/x"),
    pathlib.PureWindowsPath("x"), datetime.datetime(2024, 1, 1), datetime.timedelta(1), types.SimpleNamespace(a=1),
    argparse.Namespace(out=pathlib.Path("x"), lr=np.float32(1)), torch.__version__, frozenset([1]), range(3), float,
    AttrDict(a=AttrDict(b=1)), torch.float16, np.random.RandomState(0).get_state(),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)], ids=lambda extra: type(extra).__name__)
@pytest.mark.parametrize("zipped", [True, False])
def test_plain_data_beside_the_weights(tmp_path, extra, zipped):
    path = tmp_path / "weights.pth"
    torch.save({"extra": {"it": extra}, "model": GIVEN, "again": [extra]}, path, _use_new_zipfile_serialization=zipped)
    assert_same(load_checkpoint(path, variant=NARROW), GIVEN)


@pytest.mark.parametrize("container", [
    AttrDict(GIVEN), collections.defaultdict(list, GIVEN)], ids=lambda container: type(container).__name__)
def test_weights_in_a_mapping_of_another_class(load, container):
    assert_same(load({"net": container}), GIVEN)


@contextlib.contextmanager
def classes_of(monkeypatch, *names):
    """Give classes of a library that is not there, by their full names; they are gone again after the block."""
    made = {}
    with monkeypatch.context() as patch:
        for module, _, name in (full.rpartition(".") for full in names):
            for parent in itertools.accumulate(module.split("."), "{}.{}".format):
                if parent not in sys.modules:
                    patch.setitem(sys.modules, parent, types.ModuleType(parent))
            made[name] = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, made[name])
        yield made
    assert not any(full.split(".")[0] in sys.modules for full in names)


def test_settings_of_omegaconf(tmp_path, monkeypatch):
    """Its pickles name classes and hold their state."""
    path = tmp_path / "weights.ckpt"
    with classes_of(monkeypatch, "omegaconf.base.ContainerMetadata", "omegaconf.dictconfig.DictConfig") as made:
        settings, metadata = made["DictConfig"](), made["ContainerMetadata"]()
        settings.__dict__.update(_content={"lr": 1}, _metadata=metadata, _parent=settings)
        torch.save({"hyper_parameters": settings, "state_dict": GIVEN}, path)
    assert_same(load_checkpoint(path, variant=NARROW), GIVEN)
    assert "omegaconf" not in sys.modules


def test_losses_of_mmengine(tmp_path, monkeypatch):
    """Every checkpoint of a training in mmpretrain has them (open-mmlab/mmengine#1655)."""
    path = tmp_path / "epoch_3.pth"
    with classes_of(monkeypatch, "mmengine.logging.history_buffer.HistoryBuffer") as made:
        losses = made["HistoryBuffer"]()
        losses.__dict__.update(max_length=1000000, _log_history=np.array([0.5]), _count_history=np.array([1]))
        torch.save({"message_hub": {"log_scalars": {"train/loss": losses}}, "state_dict": GIVEN}, path)
    assert_same(load_checkpoint(path, variant=NARROW), GIVEN)


@pytest.mark.parametrize("extra", [
    Code(os.system, "touch {marker}"), Code(eval, "open('{marker}', 'w')"), Code(exec, "open('{marker}', 'w')"),
    Code(pathlib.Path.touch, pathlib.Path("{marker}")), Code(getattr, {}, "clear"),
    np.array([Code(os.system, "touch {marker}")], dtype=object),
    collections.defaultdict(list, a=Code(os.mkdir, "{marker}")), types.SimpleNamespace(a=Code(os.mkdir, "{marker}")),
    Code(os.open, "{marker}", os.O_CREAT)])
def test_code_among_plain_data_never_runs(tmp_path, monkeypatch, extra):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    torch.save({"extra": [np.float64(1), extra], "model": GIVEN}, path)
    before = set(os.listdir(tmp_path))
    with pytest.raises(BadInputError, match="wants to run code") as caught:
        load_checkpoint(path, variant=NARROW)
    assert "nothing of it was run" in caught.value.message
    assert "weights_only=False" not in caught.value.fix
    assert set(os.listdir(tmp_path)) == before


def test_what_plain_data_stands_for_is_forgotten_after_loading(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": GIVEN, "extra": np.float64(1), "out": pathlib.Path("x")}, path)
    load_checkpoint(path, variant=NARROW)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("content, entry", [
    (lambda model: model, ""), (lambda model: {"epoch": 3, "model": model}, "['model']"),
    (lambda model: torch.nn.DataParallel(model), ""), (lambda model: torch.nn.Sequential(model), ""),
    (lambda model: {"ema": model, "date": datetime.date(2024, 1, 1)}, "['ema']")])
def test_a_whole_module_gets_the_line_that_saves_its_state_dict(tmp_path, refusal, content, entry):
    saved = content(reference_module(NARROW, 10))
    error = refusal(saved)
    assert "whole pickled module" in error.message and "nothing of it was run" in error.message
    line = error.fix[error.fix.index("torch.save("):]
    assert f"map_location='cpu'){entry}.state_dict()" in line
    folder = os.getcwd()
    os.chdir(tmp_path)
    try:
        exec("'state.pth'".join(line.rsplit("'weights.pth'", 1)))
    finally:
        os.chdir(folder)
    assert load_checkpoint(tmp_path / "state.pth", variant=NARROW).num_classes == 10


def test_a_module_with_code_beside_it_gets_no_such_line(refusal):
    error = refusal({"model": reference_module(NARROW, 10), "hook": Code(os.system, "true")})
    assert "weights_only" not in error.fix
