"""Words of a command line that stand in a file, and options that another command takes."""
import io
import os
import sys

import click
import pytest

from edgenext_deploy.commands.measuring_options import building_options, handed_on, measuring_options
from edgenext_deploy.commands.word_files import READ_WORDS, with_words_of_files, write_words
from edgenext_deploy.errors import BadInputError


@pytest.mark.parametrize("data, words", [
    (b"rtsp://me:pw@camera/\n", ["rtsp://me:pw@camera/"]), (b"--top\r\n3\n\n", ["--top", "3"]), (b"", []),
    (b"a b\n@c", ["a b", "@c"]), (b"a\nb\0\0", ["a\nb", ""]), (b"\xff", [os.fsdecode(b"\xff")]),
    (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"])], ids=range(7))
def test_words_of_a_file(tmp_path, data, words):
    path = tmp_path / "words"
    path.write_bytes(data)
    assert with_words_of_files(["x", "@" + str(path), "me@host", "@"]) == ["x", *words, "me@host", "@"]


def test_words_of_standard_input(monkeypatch):
    words = ["--save", "a\nb", "ü.jpg"]
    text = write_words(words).encode("utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert with_words_of_files([READ_WORDS]) == [os.fsdecode(word.encode("utf-8")) for word in words]


@pytest.mark.parametrize("data, message", [
    (None, "No such file"), (b"a\0b", "NUL"), ("a\n".encode("utf-16"), "is UTF-16"),
    (b"x" * (1 << 20) + b"y", "more")])
def test_a_file_that_holds_no_words(tmp_path, data, message):
    if data is not None:
        (tmp_path / "words").write_bytes(data)
    with pytest.raises(BadInputError, match=message) as stopped:
        with_words_of_files(["@" + str(tmp_path / "words")])
    assert "./@NAME" in stopped.value.fix


def test_options_are_handed_on_as_they_were_given():
    @click.command()
    @handed_on("words", measuring_options)
    @handed_on("build_words", building_options)
    @click.option("--own")
    def command(words, build_words, own):
        return words, build_words, own

    def call(*words):
        with command.make_context("x", list(words)) as context:
            return command.invoke(context)

    assert call() == ((), (), None)
    words, build_words, own = call("--duration", "2", "--no-cuda-graph", "--exclude-transfers", "--own", "1",
                                   "--fp32", "--threads=4", "--best-of", "2", "--provider", "X")
    assert sorted(words) == sorted(("--duration", "2.0", "--no-cuda-graph", "--exclude-transfers", "--threads", "4",
                                    "--provider", "X"))
    assert build_words == ("--fp32", "--best-of", "2") and own == "1"
    with pytest.raises(click.UsageError):
        call("--durration", "2")
