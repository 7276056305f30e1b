"""Which image is of which class: folders, lists, COCO's categories, and results files."""
import json
import subprocess
import sys

import pytest
from PIL import Image

from edgenext_deploy.benchmarks.accuracy.class_names import map_classes
from edgenext_deploy.benchmarks.accuracy.detection import map_categories
from edgenext_deploy.benchmarks.accuracy.folders import read_folder
from edgenext_deploy.benchmarks.accuracy.results import Results
from edgenext_deploy.errors import BadInputError, UsageError

COLORS = ("black", "white", "red")
HEADER = {"task": "classification", "data": "d" * 64}


@pytest.fixture
def folder(tmp_path):
    for name in COLORS:
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (4, 4)).save(str(tmp_path / name / "{}.png".format(number)))
    (tmp_path / "notes.txt").write_text("no class")
    return tmp_path


def test_folders_named_by_labels(folder):
    data = read_folder(str(folder), None, COLORS, None)
    assert [(item.key, item.truth) for item in data.items][:4] == [
        ("black/0.png", 0), ("black/1.png", 0), ("black/2.png", 0), ("red/0.png", 2)]
    assert data.total == 9 and "named by the engine's labels" in data.description
    assert read_folder(str(folder), None, ("white", "x", "red", "black"), None).items[0].truth == 3


def test_a_limit_is_spread_over_the_classes(folder):
    data = read_folder(str(folder), None, COLORS, 3)
    assert [item.truth for item in data.items] == [0, 2, 1] and data.total == 9
    assert len(read_folder(str(folder), None, COLORS, 100).items) == 9


def test_the_digest_is_of_names_sizes_and_classes(folder):
    digest = read_folder(str(folder), None, COLORS, None).sha256
    assert read_folder(str(folder), None, COLORS, None).sha256 == digest
    others = [read_folder(str(folder), None, COLORS[::-1], None).sha256,
              read_folder(str(folder), None, COLORS, 5).sha256]
    (folder / "red" / "1.png").write_bytes(b"x")
    others.append(read_folder(str(folder), None, COLORS, None).sha256)
    assert len({digest, *others}) == 4


def test_rules_of_class_names_in_their_order():
    assert map_classes(["b", "a"], ["a", "c", "b"])[0] == {"a": 0, "b": 2}
    assert map_classes(["1", "0"], ["1", "0"])[0] == {"1": 0, "0": 1}  # labels come before indices
    assert map_classes(["10", "2"], ["x"] * 11)[0] == {"10": 10, "2": 2}
    assert map_classes(["n02", "n01", "n01"], ["tench", "goldfish"])[0] == {"n01": 0, "n02": 1}
    for names, labels in ((["n01"], ["a", "b"]), (["0", "2"], ["a", "b", "a"][:1]), (["a", "b", "c"], ["a", "b"])):
        with pytest.raises(BadInputError, match="and the engine has {}".format(len(labels))):
            map_classes(names, labels)


def test_labels_that_come_twice_cannot_name_classes():
    """ImageNet has two cranes; the folders are then taken in their order."""
    assert map_classes(["crane", "maillot"], ["crane", "crane"])[0] == {"crane": 0, "maillot": 1}
    assert map_classes(["tench"], ["crane", "crane", "tench"])[0] == {"tench": 2}
    with pytest.raises(BadInputError, match="'crane' is none of them"):
        map_classes(["crane"], ["crane", "crane", "tench"])


def test_a_flat_folder_with_a_list(tmp_path):
    (tmp_path / "truth.txt").write_text("a.png 1\nb c.png\t0\n\n")
    data = read_folder(str(tmp_path), str(tmp_path / "truth.txt"), ("x", "y"), None)
    assert [(item.key, item.truth) for item in data.items] == [("a.png", 1), ("b c.png", 0)]
    (tmp_path / "truth.txt").write_text("a.png New York\nb.png x\n")
    assert read_folder(str(tmp_path), str(tmp_path / "truth.txt"), ("x", "New York"), None).items[0].truth == 1


@pytest.mark.parametrize("text, message", [
    ("a.png\n", "line 1 is 'a.png'"), ("a.png 1\na.png 0\n", "comes twice"), ("", "is empty"), ("\n", "no image"),
    ("a.png 7\n", "has 2")])
def test_lists_that_are_wrong(tmp_path, text, message):
    (tmp_path / "truth.txt").write_text(text)
    with pytest.raises(BadInputError, match=message):
        read_folder(str(tmp_path), str(tmp_path / "truth.txt"), ("x", "y"), None)


def test_folders_that_are_no_data(tmp_path):
    with pytest.raises(BadInputError, match="cannot read the folder"):
        read_folder(str(tmp_path / "none"), None, COLORS, None)
    with pytest.raises(BadInputError, match="one for each class expected"):
        read_folder(str(tmp_path), None, COLORS, None)
    (tmp_path / "red").mkdir()
    with pytest.raises(BadInputError, match="no photo"):
        read_folder(str(tmp_path), None, COLORS, None)


def test_categories_by_name_and_by_id():
    categories = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}]
    assert map_categories(categories, ["person", "stop sign", "toothbrush"])[0] == (1, 13, 90)
    assert map_categories(categories, ["toothbrush", "person"])[0] == (90, 1)
    assert map_categories(categories, ["a", "b", "c"])[0] == (1, 13, 90)
    with pytest.raises(BadInputError, match="'a' is no category"):
        map_categories(categories, ["person", "a"])
    with pytest.raises(BadInputError, match="one of its labels comes twice"):
        map_categories(categories, ["person", "person"])
    with pytest.raises(BadInputError, match="1 comes twice"):
        map_categories([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], ["a"])


def written(path, rows=2):
    with Results(str(path), HEADER, ["a", "b", "c"], bool) as results:
        for key in "abc"[:rows]:
            results.add(key, {"engines": [{"top": [1]}]})
    return path.read_bytes()


def test_results_go_on_where_they_ended(tmp_path):
    path = tmp_path / "results.jsonl"
    content = written(path)
    with Results(str(path), HEADER, ["a", "b", "c"], bool) as results:
        assert results.resumed == 2 and results.rows["b"] == {"engines": [{"top": [1]}]}
        results.add("c", {"error": "x"})
    assert path.read_bytes() == content + b'{"error": "x", "image": "c"}\n'


@pytest.mark.parametrize("cut", range(1, 190, 9))
def test_a_torn_end_is_dropped(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    content = written(path)
    path.write_bytes(content[:-cut])
    with Results(str(path), HEADER, ["a", "b", "c"], bool) as results:
        for key in "ab":
            if key not in results.rows:
                results.add(key, {"engines": [{"top": [1]}]})
        assert results.resumed == max(0, content[:-cut].count(b"\n") - 1)
    assert path.read_bytes() == content


def test_results_of_something_else_are_refused_and_left_as_they_are(tmp_path):
    path = tmp_path / "results.jsonl"
    content = written(path)
    with pytest.raises(UsageError, match=r"another evaluation: data is .*dddd.*here it is .*eeee"):
        Results(str(path), {"task": "classification", "data": "e" * 64}, ["a", "b", "c"], bool)
    with pytest.raises(BadInputError, match="line 3 is of 'b', which is no image"):
        Results(str(path), HEADER, ["a", "c"], bool)
    assert path.read_bytes() == content
    for damage, message in (
            (content + b"xx\n", "line 4 is damaged"), (content + content.splitlines(True)[1], "already"),
            (b"\x89PNG\r\n\x1a\nxx", "line 1 is damaged"), (b"a note", "not a results file"),
            (b'{"a": 1}\n', "another evaluation")):
        path.write_bytes(damage)
        with pytest.raises((BadInputError, UsageError), match=message):
            Results(str(path), HEADER, ["a", "b", "c"], bool)
        assert path.read_bytes() == damage


def test_only_one_process_writes_a_file(tmp_path):
    path = tmp_path / "results.jsonl"
    code = ("import sys\nfrom edgenext_deploy.benchmarks.accuracy.results import Results\n"
            "from edgenext_deploy.errors import UsageError\n"
            "try:\n    Results(sys.argv[1], {}, [], bool)\nexcept UsageError as error:\n    print(error)")
    with Results(str(path), HEADER, ["a"], bool):
        done = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, check=True,
                              universal_newlines=True)
    assert "another process is writing" in done.stdout
    with pytest.raises(UsageError, match="cannot write"):
        Results(str(tmp_path), HEADER, ["a"], bool)


def test_rows_without_a_file_are_only_kept():
    with Results(None, HEADER, ["a"], bool) as results:
        results.add("a", {"engines": []})
        assert results.rows == {"a": {"engines": []}} and results.resumed == 0
    assert json.dumps(results.rows)
