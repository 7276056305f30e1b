import os

import pytest
from paths import DATA

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.networks import base
from edgenext_deploy.networks.classifier import Classifier
from edgenext_deploy.networks.labels import load_labels


def test_imagenet_names_are_in_class_order():
    labels = load_labels("imagenet1k", 1000)
    assert len(labels) == 1000 == len(set(labels))
    assert (labels[0], labels[281], labels[657], labels[967], labels[999]) == (
        "tench", "tabby", "missile", "espresso", "toilet tissue")


def test_coco_and_voc_names_are_in_class_order():
    coco, voc = load_labels("coco80", 80), load_labels("voc21", 21)
    assert len(set(coco)) == 80 and len(set(voc)) == 21
    assert (coco[0], coco[14], coco[79]) == ("person", "bird", "toothbrush")
    assert (voc[0], voc[1], voc[15], voc[20]) == ("background", "aeroplane", "person", "tvmonitor")


def test_file_is_read_whatever_its_line_ends(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\n  größer dog \r\nbird\r\n\r\n".encode("utf-8"))
    assert load_labels(str(path), 3) == ("cat", "größer dog", "bird")
    assert load_labels(path) == ("cat", "größer dog", "bird")


def test_wrong_count_names_both_numbers(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a\nb\n")
    with pytest.raises(BadInputError, match="2 labels found, 10 expected") as caught:
        load_labels(str(path), 10)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"), (b"\n\n", "line 1 is empty"), (b"a\n\nb\n", "line 2 is empty"),
    (b"\xff\xfe\x00\x81", "not UTF-8")])
def test_file_that_is_no_label_list_is_bad_input(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=message):
        load_labels(str(path))


def test_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "labels.txt"
    with open(str(path), "wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(BadInputError, match="at most"):
        load_labels(str(path))


def test_missing_file_and_folder_are_bad_input(tmp_path):
    with pytest.raises(BadInputError, match="not found"):
        load_labels(str(tmp_path / "none.txt"))
    with pytest.raises(BadInputError, match="not a file"):
        load_labels(str(tmp_path))


@pytest.mark.parametrize("content", [
    '["cat",\n"dog"]\n', '{"0": "cat", "1": "dog"}', '{"dog": 1, "cat": 0}', "['cat', 'dog']",
    "{0: 'cat',\n 1: 'dog'}", '{"0": ["n02123045", "cat"], "1": ["n02085620", "dog"]}',
    '{"id2label": {"1": "dog", "0": "cat"}, "label2id": {"cat": 0}}', '{"variant": "xxs", "labels": ["cat", "dog"]}',
    "0: cat\n1: dog\n", "1 dog\n0 cat\n", "0,cat\r\n1,dog\r\n", "0. cat\n1. dog\n", "0 - cat\n1 - dog\n",
    "cat: 0\ndog: 1\n", "dog\t1\ncat\t0\n", "n02085620 cat\nn02123045 dog\n", "- cat\n- dog\n", "---\n0: cat\n1: dog\n",
    "path: x\nval:\n\n# Classes\nnames:\n  0: cat  # c\n  1: dog\n", "nc: 2\nnames: ['cat', \"dog\"]  # two\n",
    "names: [cat,\n  dog]\n", "names: {0: cat, 1: dog}\n", "names:\n- cat\n- dog\ndownload: |\n  import x\n"])
def test_every_common_format_gives_the_same_names(tmp_path, content):
    path = tmp_path / "labels"
    path.write_bytes(content.encode("ascii"))
    assert load_labels(str(path), 2) == ("cat", "dog")


@pytest.mark.parametrize("names", [
    ("[red]", "[blue]"), ("[b]x[/b]", "[b]y[/b]"), ("0", "1", "2"), ("1 cent", "2 cent"),
    ("100 yen", "500 yen"), ("type 0", "type 1"),
    ("crane", "crane"), ("#", "a", "-"), ("it's", "rock 'n' roll"), ("no", "yes"), ("T-shirt/top", "MD: 3", "8-ball"),
    ("0 cat", "dog"), ("tench, Tinca tinca", "goldfish, Carassius auratus")])
def test_lines_that_only_look_like_a_format_stay_names(tmp_path, names):
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(names) + "\n")
    assert load_labels(str(path), len(names)) == names


@pytest.mark.parametrize("content, message", [
    ('["cat", "dog"', "begins like JSON"), ('{"id": 0}\n{"id": 1}\n', "JSON Lines"), ('{"0": "a", "0": "b"}', "twice"),
    ('{"a": "b"}', "neither a list of names"), ("[1, 2]", "entry 1 is 1"), ('["a", " "]', "entry 2 is empty"),
    ("[]", "no names"), ('{"1": "a", "2": "b"}', "indices 1 to 2 for 2 names"), ('{"a": 0, "b": 2}', "indices 0 to 2"),
    ('{"images": [], "categories": []}', "COCO"), ('"cat",\n"dog",\n', "without brackets"),
    ("1 cat\n2 dog\n", "indices 1 to 2"), ("0: cat\n2: dog\n", "indices 0 to 2"),
    ("0: a\n0: b\n", "number on every line"),
    ("id,name\n0,cat\n1,dog\n", "CSV"), ("n02123045 a\nn02085620 b\n", "rising order"),
    ("n02085620 1 a\nn02123045 2 b\n", "synset and a number"), ("train: a\nval: b\nx:\n", "YAML"),
    ("names:\n  cat:\n    id: 0\n", "YAML.*nested"), ("names: &all [a]\n", "YAML"), ("names: [a, [b]]\n", "YAML"),
    ("names: [a,\n b\n", "YAML"), ("names: {0: a, 0: b}\n", "twice"), ("names: |\n  a\n", "YAML"),
    ("names:\n", "YAML"), ("item {\n  id: 1\n}\n", "pbtxt"), ("<!DOCTYPE html>\n", "HTML"),
    ("names = ['a']\n", "Python"),
    ("a\0b", "binary"), ("a" + " " * 100000 + "b\n", "characters"), ("[" * 100000, "JSON")])
def test_what_is_not_read_is_refused_by_its_format(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(BadInputError, match=message) as caught:
        load_labels(str(path))
    assert str(path) in caught.value.message and len(str(caught.value)) < 900


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_converted(tmp_path, encoding):
    path = tmp_path / "labels.txt"
    path.write_bytes("K\xe4se\r\nBrot\r\n".encode(encoding))
    with pytest.raises(BadInputError, match=r"not UTF-8 text.*iconv -f UTF-16"):
        load_labels(str(path))


def test_labels_are_read_before_the_engine_is_opened(tmp_path, monkeypatch):
    def opened(*args, **kwargs):
        raise AssertionError("the engine was opened")

    monkeypatch.setattr(base, "open_session", opened)
    path = tmp_path / "labels.txt"
    for content, message in (('["cat", "dog"', "begins like JSON"), ('["cat", "dog"]', "2 labels found, 10 expected")):
        path.write_text(content)
        with pytest.raises(BadInputError, match=message):
            Classifier(os.path.join(DATA, "tiny_classifier.onnx"), labels=path)
    with pytest.raises(BadInputError, match="the list passed: 1 labels found"):
        Classifier(os.path.join(DATA, "tiny_classifier.onnx"), labels=["cat"])
