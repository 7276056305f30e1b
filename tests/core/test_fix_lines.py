"""What is said about an engine or a photo that is not there or cannot be read."""
import io
import shutil
import struct
import zlib

import pytest
from paths import DATA
from PIL import Image

from edgenext_deploy.artifacts.missing_engine import engine_fix
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.photo import load_photo

TINY = DATA + "/tiny_classifier.onnx"


def test_a_missing_plan_is_built_from_the_model_beside_it(tmp_path):
    shutil.copyfile(TINY, str(tmp_path / "my net.onnx"))
    assert engine_fix(str(tmp_path / "my net.plan")) == (
        "build it on this machine: edgenext-build '{}'".format(tmp_path / "my net.onnx"))
    assert engine_fix(str(tmp_path / "other.plan")) == "give one that is there: '{}'".format(tmp_path / "my net.onnx")


def test_without_any_engine_the_commands_that_make_one_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert engine_fix("gone.onnx") == engine_fix("nowhere/gone.onnx") == "make one: edgenext-export xxs --fp16"
    assert engine_fix("gone.engine").endswith("on the machine that will run it edgenext-build xxs.onnx")
    for name in "gfedcba":
        (tmp_path / (name + ".ONNX")).write_bytes(b"x")
    assert engine_fix("gone.onnx") == "give one that is there: a.ONNX, b.ONNX, c.ONNX, d.ONNX, e.ONNX"
    for name in ("x_small.onnx", "b.plan"):
        (tmp_path / name).write_bytes(b"x")
    similar_first = "give one that is there: x_small.onnx, a.ONNX, b.ONNX, "
    assert engine_fix("x_smal.onnx", (".onnx",)) == similar_first + "c.ONNX, d.ONNX"


def test_a_missing_photo_names_those_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=r"not found: cat.jpg.*JPEG, PNG"):
        load_photo("cat.jpg")
    for name in ("b c.png", "a.JPG", "note.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInputError, match=r"photos there: a\.JPG, 'b c\.png'$"):
        load_photo("cat.jpg")
    with pytest.raises(BadInputError, match=r"JPEG, PNG"):
        load_photo("nowhere/cat.jpg")
    with pytest.raises(BadInputError, match=r"not found: https://host/cat.jpg; fetch it first \(curl"):
        load_photo("https://host/cat.jpg")


@pytest.mark.parametrize("brand, command", [
    (b"heic", "heif-convert 'my cat.heic' 'my cat.jpg'"), (b"mif1", "heif-convert"), (b"avif", "avifdec"),
    (b"isom", "one of the formats JPEG")])
def test_a_phones_picture_is_named_and_converted(tmp_path, monkeypatch, brand, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my cat.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(500))
    with pytest.raises(BadInputError) as caught:
        load_photo("my cat.heic")
    assert command in caught.value.fix


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_that_is_cut_short_is_copied_again(tmp_path, kind):
    stream = io.BytesIO()
    with Image.open(path_of("photos", "coffee.jpg")) as image:
        image.save(stream, kind)
    (tmp_path / "cut.jpg").write_bytes(stream.getvalue()[:len(stream.getvalue()) * 2 // 3])
    with pytest.raises(BadInputError) as caught:
        load_photo(str(tmp_path / "cut.jpg"))
    # An old Pillow has decoders that are not trusted with any TIFF or WebP.
    assert kind == "WEBP" or "copy it again" in caught.value.fix or "known holes" in str(caught.value), caught.value


def test_a_photo_with_too_many_pixels_is_scaled_down(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A header is all that is read of it.
    head = struct.pack(">IIBBBBB", 20000, 15000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    (tmp_path / "my map.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 64) + b"IDAT" + bytes(68))
    with pytest.raises(BadInputError) as caught:
        load_photo("my map.png")
    assert caught.value.fix.startswith("scale it down"), caught.value
