"""Photos whose header claims more than a photo has: refused in a moment, in little memory, and quietly."""
import io
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
import zlib

import pytest
from paths import DATA, ROOT
from PIL import Image

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess import photo_limits
from edgenext_deploy.preprocess.photo import load_photo


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)


def png(width, height, depth=8, color=0):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
            + chunk(b"IEND", b""))


def gif(width, height):
    return (b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b","
            + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x44\1\0;")


def tiff(width, height):
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 16)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + struct.pack("<H", len(tags)) + entries + bytes(4)


def scanned(size, scans):
    """Return a progressive JPEG file whose last scan is there many times."""
    data = saved("JPEG", (size, size), progressive=True, quality=10)
    last = data[data.rindex(b"\xff\xda"):-2]
    return data[:-2] + last * scans + b"\xff\xd9"


def saved(kind, size=(8, 8), **options):
    out = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(out, kind, **options)
    return out.getvalue()


BOMBS = {
    "png": (png(50000, 50000), r"50000x50000|2500000000 pixels"),
    "column": (png(1, 1 << 26), "65535 on a side"),
    "row": (png(1 << 26, 1), "65535 on a side"),
    "deep": (png(8192, 8192, 16, 6), "33 million are read of PNG"),
    "gif": (gif(65535, 65535), "65535x65535|4294836225 pixels"),
    "tiff": (tiff(8000, 8000), "29 million are read of TIFF"),
    "comment": (b"P6\n" + b"#\n" * 400000 + b"1 1\n255\nabc", "too many parts"),
    "another comment": (b"PyRGBA\n" + b"#\n" * 400000 + b"1 1\n255\nabcd", "too many parts"),
    "digits": (b"P6\n" + b"9" * 1000000 + b" 1\n255\n", "cannot be decoded"),
    "markers": (saved("JPEG").replace(b"\xff\xd8", b"\xff\xd8" + b"\xff\xd0" * 400000, 1), "too many parts"),
    "chunks": (saved("PNG").replace(b"\0\0\0\x0dIHDR", chunk(b"teSt", b"") * 150000, 1), "too many parts"),
    "empty data": (saved("PNG")[:33] + chunk(b"IDAT", b"") * 150000 + saved("PNG")[33:], "too many parts"),
    "blocks": (saved("GIF").replace(b",", b"!\xfe" + b"\1a" * 400000 + b"\0,", 1), "too many parts"),
    "text": (b"P3\n4000 4000\n255\n" + b"1 " * 1000, "as text|not an image"),  # Pillow 8.4 knows no P3
    "scans": (scanned(1500, 200), r"1500x1500 pixels in 21\d scans"),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_refused_from_the_header(tmp_path, name):
    content, said = BOMBS[name]
    path = tmp_path / "photo"
    path.write_bytes(content)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInputError, match=said):
        load_photo(str(path))
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def test_few_scans_and_comments_are_no_fault(tmp_path):
    video = os.urandom(1 << 16) + b"\xff\xda" * 400  # behind a "motion photo"
    for name, content in (("a.jpg", scanned(64, 50)), ("a.ppm", b"P6 # a comment\n1 1\n255\nabc"),
                          ("motion.jpg", saved("JPEG", (4000, 3000)) + video)):
        (tmp_path / name).write_bytes(content)
        assert load_photo(str(tmp_path / name)).mode == "RGB"


def test_run_length_of_an_elongated_picture(tmp_path):
    with pytest.raises(BadInputError, match=r"67108864x1 pixels|Unsupported BMP compression"):
        load_photo(os.path.join(DATA, "hostile", "rle_eol.bmp"))


def test_libtiff_says_nothing_itself(tmp_path, capfd):
    (tmp_path / "a.tif").write_bytes(tiff(80, 80))
    with pytest.raises(BadInputError, match="cannot be decoded"):
        load_photo(str(tmp_path / "a.tif"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "GIF"])
def test_formats_with_known_holes_are_refused_by_an_old_pillow(tmp_path, monkeypatch, kind):
    path = str(tmp_path / "photo")
    Image.new("RGB", (8, 8)).save(path, kind)
    assert load_photo(path).size == (8, 8)
    monkeypatch.setattr(photo_limits, "_SOUND_PILLOW", (99,))
    with pytest.raises(BadInputError, match="is {}, whose decoder in Pillow .* has known holes".format(kind)):
        load_photo(path)
    Image.new("RGB", (8, 8)).save(path, "PNG")
    assert load_photo(path).size == (8, 8)


def test_pipe_that_took_the_place_of_a_photo(tmp_path, monkeypatch):
    os.mkfifo(str(tmp_path / "photo"))
    monkeypatch.setattr("edgenext_deploy.preprocess.photo.require_file", lambda *_: None)
    with pytest.raises(BadInputError, match="is not a file"):
        load_photo(str(tmp_path / "photo"))
    shutil.rmtree(str(tmp_path))


def test_no_memory_is_taken_for_what_a_file_does_not_have(tmp_path):
    """A PNG whose data say that they have 4 GB: Pillow skips what is left of them by reading it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved("PNG", exif=exif.tobytes()).replace(chunk(b"IEND", b""), b"")
    start = content.index(b"IDAT") - 4
    path = tmp_path / "a.png"
    path.write_bytes(content[:start] + b"\xff\xff\xff\xff" + content[start + 4:])
    code = ("import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); "
            "from edgenext_deploy.preprocess.photo import load_photo; print(load_photo(sys.argv[1]).size)")
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert b"MemoryError" not in done.stderr, done.stderr


def test_pillow_logs_nothing_on_the_screen(tmp_path):
    content = bytearray(saved("TIFF"))
    entry = content.index(struct.pack("<HHI", 277, 3, 1))  # samples per pixel
    content[entry + 8:entry + 10] = struct.pack("<H", 9600)
    (tmp_path / "a.tif").write_bytes(bytes(content))
    code = "import sys; from edgenext_deploy.preprocess.photo import load_photo; load_photo(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tif")], cwd=ROOT, stderr=subprocess.PIPE)
    assert b"BadInputError" in done.stderr and not done.stderr.startswith(b"More samples")
