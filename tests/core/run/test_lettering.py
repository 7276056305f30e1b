"""Letters of names in pictures and on frames: the font that has them, or a note."""
import os

import numpy as np
import pytest
from command_lines import run_here
from paths import CAT, TINY
from PIL import Image, features

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.run import cli, drawing, lettering
from edgenext_deploy.run.lettering import OWN, Lettering, lettering_for

DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
WITH_FONT = pytest.mark.skipif(not (os.path.exists(DEJAVU) and features.check("freetype2")),
                               reason="needs FreeType and the DejaVu fonts")


@pytest.fixture
def fonts(monkeypatch):
    """Have the system's fonts be these; returns a function that sets them."""
    def call(*paths):
        monkeypatch.setattr(lettering, "_system_fonts", lambda: iter(paths))

    call()
    return call


def test_ascii_needs_no_font_of_the_system(monkeypatch):
    monkeypatch.setattr(lettering, "_system_fonts", lambda: pytest.fail("looked for fonts"))
    assert lettering_for(["cat", "traffic light"]) is OWN


def test_without_a_font_letters_are_named_as_missing(fonts):
    assert lettering_for(["\u732b", "cat"]).lacks("\u732bcat\u732b") == ["\u732b"]


def test_marks_that_only_steer_other_letters_are_left_out(fonts):
    joined, plain = (np.asarray(OWN.mask(text, 20)).tobytes() for text in ("c\u200cup", "cup"))
    assert joined == plain and OWN.lacks("c\u200cup") == []


@WITH_FONT
def test_a_font_without_figures_is_not_taken(fonts, monkeypatch):
    look_up = Lettering._look_up
    monkeypatch.setattr(Lettering, "_look_up", lambda self, character: look_up(self, character) and not (
        self.path is not None and character.isdigit()))
    fonts(DEJAVU)
    assert lettering_for(["\u0416"]) is OWN


@WITH_FONT
def test_the_font_with_the_letters_is_taken(fonts, tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    fonts(str(broken), DEJAVU)
    found = lettering_for(["\u017c\u00f3\u0142\u0107", "\u0416\u0443\u043a"])
    assert found.path == DEJAVU and found.lacks("\u017c\u00f3\u0142\u0107\u0416") == []
    assert found.lacks("\u732b") == ["\u732b"]
    assert np.asarray(found.mask("\u0416", 20)).tobytes() != np.asarray(found.mask("?", 20)).tobytes()
    assert np.asarray(found.mask("\u732b", 20)).tobytes() == np.asarray(found.mask("?", 20)).tobytes()


def test_what_is_no_font_is_refused(tmp_path):
    path = tmp_path / "x.ttf"
    path.write_bytes(b"no font")
    for wrong in (str(path), str(tmp_path / "absent.ttf")):
        with pytest.raises(BadInputError, match="font") as caught:
            Lettering(wrong)
        assert "--font" in caught.value.fix


def test_a_label_on_a_frame_is_white_on_a_block_and_leaves_the_rest():
    frame = np.full((480, 640, 3), 127, np.uint8)
    drawing.draw_label(frame, "traffic light 27.9%")
    block = np.any(frame != 127, axis=2)
    rows, columns = np.flatnonzero(block.any(axis=1)), np.flatnonzero(block.any(axis=0))
    assert rows[-1] == 479 and columns[0] == 0 and 15 <= len(rows) <= 40 and 80 < len(columns) < 320
    # Letters that run into each other leave no black columns between them.
    letters = frame[rows[0]:, :len(columns), 0].max(axis=0) > 128
    assert 10 <= np.count_nonzero(np.diff(letters.astype(int)) == 1) <= 19
    assert (frame[rows[0]:, :len(columns)] < 40).mean() > 0.4


@pytest.mark.parametrize("height, width", [(1, 1), (8, 3), (20, 400), (2160, 3840)])
def test_frames_of_any_size_take_a_label(height, width):
    frame = np.full((height, width, 3), 127, np.uint8)
    drawing.draw_label(frame, "a name that is longer than the frame" * 3)
    assert frame[-1, 0, 0] != 127


@WITH_FONT
def test_a_command_draws_the_letters_or_says_which_it_lacks(capsys, fonts, tmp_path):
    pytest.importorskip("onnxruntime")
    labels = tmp_path / "labels.txt"
    labels.write_bytes("".join("\u017c\u732b {}\n".format(number) for number in range(10)).encode("utf-8"))
    arguments = [TINY, CAT, "--labels", labels, "--threads", "1"]

    def run(*more):
        return run_here(capsys, cli.command, *arguments, *more)

    code, _, err = run("--save", tmp_path / "a.png")
    assert code == 0 and err.startswith("note: 2 letters of the labels are drawn as '?' (\u017c\u732b)"), err
    code, _, err = run("--save", tmp_path / "b.png", "--font", DEJAVU)
    assert code == 0 and err.startswith("note: 1 letters") and DEJAVU in err
    pictures = [np.asarray(Image.open(str(tmp_path / name))) for name in ("a.png", "b.png")]
    assert not np.array_equal(*pictures)
    labels.write_bytes("".join("\u017c {}\n".format(number) for number in range(10)).encode("utf-8"))
    fonts(DEJAVU)
    code, _, err = run("--save", tmp_path / "c.png")
    assert code == 0 and err == "note: labels are drawn with the font {}; --font FILE gives another\n".format(DEJAVU)
    code, _, err = run("--save", tmp_path / "c.png", "--font", DEJAVU)
    assert code == 0 and err == ""
    code, _, err = run()
    assert code == 0 and err == ""
    code, _, err = run_here(capsys, cli.command, "none.onnx", CAT, "--save", tmp_path / "d.png", "--font", labels)
    assert code == 3 and "not a font" in err
    code, _, err = run("--font", DEJAVU)
    assert code == 2 and "--save" in err
