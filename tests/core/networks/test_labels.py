import pytest

from edgenext_deploy.errors import BadInputError
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
