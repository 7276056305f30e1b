"""Weights files that were built to exhaust who reads them: refused before torch sees them, and in little time."""
import io
import pickle
import struct
import time
import zipfile

import pytest
import torch

from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.models.checkpoints import weights_file
from edgenext_deploy.models.checkpoints.checkpoint import load_checkpoint
from edgenext_deploy.models.factory import create_model


def nested(depth):
    """Return a pickle with a key of 2 to the `depth` parts, from `depth` opcodes."""
    steps = b"".join(b"h%c\x86q%c" % (index - 1, index) for index in range(1, depth))
    return b"\x80\x02}K\x01\x85q\x00" + steps + b"K\x01s."


def archive(content, members=(), kind=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as stream:
        for name, data in (("a/data.pkl", content), ("a/byteorder", b"little"), ("a/version", b"3\n"), *members):
            stream.writestr(name, data)
    return out.getvalue()


def overlapping():
    """Return an archive of which 50 members are the same bytes."""
    data = bytearray(archive(b"\x80\x02}.", [(f"a/data/{index:02d}", bytes(4096 if index == 0 else 0))
                                             for index in range(50)]))
    first = data.rindex(b"PK\x01\x02", 0, data.index(b"a/data/00", data.index(b"PK\x01\x02")))
    entry = data[first:first + 46]
    at = first
    while data[at:at + 4] == b"PK\x01\x02":
        data[at + 16:at + 28], data[at + 42:at + 46] = entry[16:28], entry[42:46]
        at += 46 + struct.unpack_from("<H", data, at + 28)[0]
    return bytes(data)


def storage(claimed):
    return archive(b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
                   + pickle.dumps(claimed, 2)[2:-1] + b"tQ.", [("a/data/0", bytes(16))])


HOSTILE = {
    "hash": (archive(nested(40)), "parts or 200 levels"),
    "hash in the old format": (nested(40), "parts or 200 levels"),
    "text of a key": (archive(nested(27)), "parts or 200 levels"),
    "long key": (archive(b"\x80\x02}X\x40\x42\x0f\0" + 1_000_000 * b"k" + b"K\x01s."), "1000 characters"),
    "deep": (archive(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."), "parts or 200 levels"),
    "many opcodes": (archive(b"\x80\x02" + b"N0" * 550_000 + b"N."), "opcodes"),
    "compressed": (archive(b"\x80\x02}.", [("a/data/0", bytes(1 << 26))], zipfile.ZIP_DEFLATED), "compressed members"),
    "overlapping": (overlapping(), "overlap"),
    "many members": (archive(b"\x80\x02}.", [(f"a/data/{index}", b"") for index in range(21_000)]), "20000 members"),
    "two of one name": (archive(b"\x80\x02}.", [("b/data.pkl", b"\x80\x02}.")]), "two members of one name"),
    "storage larger than the file": (storage(1 << 33), "claims a storage of 8589934592"),
    "negative storage": (storage(-5), "claims a storage of -5"),
    "safetensors header": ((66_000_000).to_bytes(8, "little") + b"{" + bytes(66_000_000), "header of 66000000 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_at_once(tmp_path, name):
    content, said = HOSTILE[name]
    (tmp_path / "weights.pth").write_bytes(content)
    start = time.process_time()
    with pytest.raises(BadInputError, match=said):
        load_checkpoint(tmp_path / "weights.pth", variant="xxs")
    assert time.process_time() - start < 10


@pytest.fixture
def parameters():
    return create_model("xxs").state_dict()


@pytest.mark.parametrize("classes", [1000, 3_000_000, 2_000_000_000])
def test_tensor_that_is_larger_than_its_data(tmp_path, parameters, classes):
    wide = torch.zeros(1, 168).expand(classes, -1)
    torch.save({**parameters, "head.weight": wide, "head.bias": torch.zeros(1).expand(classes)}, tmp_path / "a.pth")
    with pytest.raises(BadInputError, match=rf"head\.weight claims {classes * 168} values, and its data has 168"):
        load_checkpoint(tmp_path / "a.pth", variant="xxs")


def test_attributes_of_a_tensor_do_not_stand_for_its_methods(tmp_path, parameters):
    weight = torch.nn.Parameter(parameters["head.weight"])
    for name in ("dim", "detach", "numel", "is_floating_point", "to", "contiguous"):
        setattr(weight, name, 7)
    torch.save({**parameters, "head.weight": weight}, tmp_path / "a.pth")
    loaded = load_checkpoint(tmp_path / "a.pth", variant="xxs").state_dict["head.weight"]
    assert type(loaded) is torch.Tensor
    assert not vars(loaded)
    assert torch.equal(loaded, parameters["head.weight"])


@pytest.mark.parametrize("value", [
    torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged), torch.zeros(24, 3).to_sparse(),
    torch.zeros(24, device="meta")])
def test_tensors_of_odd_kinds(tmp_path, parameters, value):
    torch.save({**parameters, "stages.0.0.gamma": value}, tmp_path / "a.pth")
    with pytest.raises(BadInputError, match=r"stages\.0\.0\.gamma|not a checkpoint"):
        load_checkpoint(tmp_path / "a.pth", variant="xxs")


def test_old_torch_reads_safetensors_only(tmp_path, parameters, monkeypatch):
    torch.save(parameters, tmp_path / "a.pth")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(MissingRuntimeError, match=r"PyTorch 2\.9\.1\+cpu does not read safely; 2\.10 or newer"):
        weights_file.read_weights_file(str(tmp_path / "a.pth"))
