"""What the names of class folders mean: labels, indices, or an order; never an order against a label."""
import unicodedata

import pytest

from edgenext_deploy.benchmarks.accuracy.class_names import map_classes
from edgenext_deploy.benchmarks.accuracy.classification import ClassificationTask
from edgenext_deploy.benchmarks.accuracy.detection import DetectionTask, map_categories
from edgenext_deploy.errors import BadInputError, UsageError

NUMBERS = [str(index) for index in range(12)]
UNNAMED = ["class {}".format(index) for index in range(12)]


@pytest.mark.parametrize("names", [
    NUMBERS, ["class{}".format(index) for index in range(1, 13)], [str(index) for index in range(1, 13)],
    ["Zebra", "ant"], ["img2", "img10"]])
def test_readings_that_differ_are_refused_with_the_option(names):
    labels = UNNAMED[:len(names)]
    with pytest.raises(BadInputError, match="read") as caught:
        map_classes(names, labels)
    assert "--class-order" in caught.value.fix and "text" in caught.value.fix


def test_the_option_decides():
    # The three readings of 0 … 11: as indices, as torchvision's ImageFolder sorts, as timm sorts.
    assert map_classes(NUMBERS, UNNAMED, "index")[0]["10"] == 10
    mapping, how = map_classes(NUMBERS, UNNAMED, "text")
    assert mapping["10"] == 2 and "text order" in how
    assert map_classes(NUMBERS, UNNAMED, "natural")[0]["10"] == 10
    one_based = [str(index) for index in range(1, 13)]
    assert map_classes(one_based, UNNAMED, "natural")[0]["12"] == 11
    assert map_classes(["Zebra", "ant"], ["a", "b"], "natural")[0] == {"ant": 0, "Zebra": 1}
    assert map_classes(["Zebra", "ant"], ["a", "b"], "text")[0] == {"Zebra": 0, "ant": 1}
    with pytest.raises(BadInputError, match="the engine has 12"):
        map_classes(one_based, UNNAMED, "index")


@pytest.mark.parametrize("names, labels, expected", [
    (["0", "1", "2"], ["a", "b", "c"], {"0": 0, "1": 1, "2": 2}),
    (["00", "01", "10"], ["x"] * 11, {"00": 0, "01": 1, "10": 10}),
    (["{:02}".format(index) for index in range(12)], UNNAMED, {"{:02}".format(index): index for index in range(12)}),
    (["1", "2", "3"], ["a", "b", "c"], {"1": 0, "2": 1, "3": 2}),
    (["n01", "n02"], ["tench", "goldfish"], {"n01": 0, "n02": 1})])
def test_readings_that_agree_need_no_option(names, labels, expected):
    assert map_classes(names, labels)[0] == expected


@pytest.mark.parametrize("names, labels", [
    (["Cat", "Dog"], ["dog", "cat"]), (["stop_sign", "hot-dog"], ["stop sign", "hot dog"]),
    (["T-Shirt", "ANKLE BOOT"], ["t shirt", "ankle_boot"]), (["STRASSE", "b"], ["straße", "B"]),
    ([unicodedata.normalize("NFD", "größe"), "x"], ["x", "größe"]), (["NewYork", "x"], ["x", "new york"])])
def test_names_match_labels_but_for_spelling(names, labels):
    mapping, how = map_classes(names, labels)
    assert "but for case" in how and sorted(mapping.values()) == [0, 1]
    for name, index in mapping.items():
        assert unicodedata.normalize("NFKC", name)[0].lower() == labels[index][0].lower()


def test_exact_names_come_before_similar_ones():
    assert map_classes(["polish", "Polish"], ["Polish", "polish"])[0] == {"polish": 1, "Polish": 0}
    assert map_classes(["1", "0"], ["1", "0"])[0] == {"1": 0, "0": 1}


@pytest.mark.parametrize("names, labels", [
    (["Cat", "Dog", "Vogel"], ["dog", "cat", "bird"]), (["Dog", "dog"], ["dog", "cat"]),
    (["0", "1", "2"], ["2", "zero", "one"]), (["person", "x"], ["y", "person"])])
def test_an_order_never_wins_over_a_name(names, labels):
    with pytest.raises(BadInputError, match="is the engine's class"):
        map_classes(names, labels)
    assert map_classes(names, labels, "text")[0][sorted(names)[0]] == 0  # unless insisted on


def test_an_order_that_agrees_with_the_names_is_taken():
    assert map_classes(["cat", "hund"], ["cat", "dog"])[0] == {"cat": 0, "hund": 1}


def test_categories_of_coco_follow_the_same_rules():
    categories = [{"id": 1, "name": "Stop_Sign"}, {"id": 2, "name": "person"}]
    assert map_categories(categories, ["person", "stop sign"]) == ((2, 1), "by name")
    with pytest.raises(BadInputError, match="'car' is no category, and sorted by id 'person' would be 'Stop_Sign'"):
        map_categories(categories, ["person", "car"])
    assert map_categories(categories, ["car", "person"])[0] == (1, 2)


def test_the_option_is_for_classifiers():
    with pytest.raises(UsageError, match="for classifiers"):
        DetectionTask("text")
    with pytest.raises(UsageError, match="did you mean 'natural'"):
        ClassificationTask("naturl")
