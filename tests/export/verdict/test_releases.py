import pytest

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.verdict.releases import documented_releases, first_release_with, get_release
from edgenext_deploy.targets import TARGETS


def test_the_table_covers_8_0_to_11_and_tensorrt_rtx():
    assert documented_releases() == (
        "8.0", "8.2", "8.4", "8.5", "8.6", "9.3", "10.0", "10.1", "10.15", "11.x", "rtx-1.7")


@pytest.mark.parametrize(("asked", "documented"), [
    ("8.2", "8.2"), ("8.2.1", "8.2"), ("8.3", "8.2"), ("8.5.2", "8.5"), ("8.6.2.3", "8.6"), ("9.0", "8.6"),
    ("10.0", "10.0"), ("10.3", "10.1"), ("10.13", "10.1"), ("10.15", "10.15"), ("10.16.2", "10.15"),
    ("11.x", "11.x"), ("11.4", "11.x"), ("12.0", "11.x"), ("rtx-1.7", "rtx-1.7"), ("rtx-1.8", "rtx-1.7"),
])
def test_a_release_is_judged_by_the_newest_documented_one_that_is_not_newer(asked, documented):
    assert get_release(asked).documented_as == documented


@pytest.mark.parametrize(("asked", "exact"), [
    ("8.2", True), ("8.2.1", True), ("11.4", True), ("10.1.2", True),
    ("8.3", False), ("10.3", False), ("10.13", False), ("12.0", False), ("rtx-1.8", False),
])
def test_it_says_whether_the_release_itself_is_documented(asked, exact):
    assert get_release(asked).exact is exact


@pytest.mark.parametrize("asked", ["7.2", "rtx-1.0", "8", "eight", "", "8.2; rm", "11.x.1", "-8.2"])
def test_what_is_not_a_known_release_is_a_usage_error(asked):
    with pytest.raises(UsageError):
        get_release(asked)


def test_limits_are_those_of_the_documents():
    nano = get_release("8.2")
    assert (nano.min_opset, nano.max_opset, nano.ir_version) == (7, 13, 7)
    assert "Reciprocal" in nano.importer_only
    assert "Reciprocal" not in nano.operators
    assert get_release("11.x").max_opset == 25
    rtx = get_release("rtx-1.7")
    assert (rtx.min_opset, rtx.max_opset, rtx.ir_version) == (None, None, None)
    assert not rtx.before(11)


@pytest.mark.parametrize(("release", "count"), [
    ("8.0", 121), ("8.2", 129), ("8.4", 135), ("8.5", 142), ("8.6", 145), ("9.3", 147), ("10.0", 149),
    ("10.1", 150), ("10.15", 158), ("11.x", 161), ("rtx-1.7", 157),
])
def test_number_of_operators_per_release(release, count):
    # Counted in each branch's docs/operators.md; an edit of one operator must not touch another.
    assert len(get_release(release).operators) == count


@pytest.mark.parametrize(("op", "first"), [
    ("Conv", "8.0"), ("Einsum", "8.2"), ("HardSwish", "8.4"), ("GridSample", "8.5"),
    ("LayerNormalization", "8.6"), ("GroupNormalization", "8.6"), ("Gelu", "10.0"), ("Attention", "10.15"),
    ("Det", None), ("NoSuchOp", None),
])
def test_first_release_with(op, first):
    assert first_release_with(op) == first


def test_an_operator_keeps_its_entry_until_the_next_and_can_be_dropped():
    assert get_release("8.2").operators["Conv"].types == {"FP32", "FP16", "INT8"}
    assert get_release("8.6").operators["Conv"].types == {"FP32", "FP16", "INT8"}
    assert get_release("11.x").operators["Conv"].types == {"FP32", "FP16", "BF16"}
    assert get_release("rtx-1.7").operators["Conv"].types == frozenset()
    assert "DeformConv" in get_release("11.x").operators
    assert "DeformConv" not in get_release("rtx-1.7").operators


def test_every_type_is_one_of_the_documents_words():
    known = {"FP32", "FP16", "BF16", "FP8", "FP4", "INT4", "INT8", "UINT8", "INT32", "INT64", "BOOL"}
    for release in documented_releases():
        for op, operator in get_release(release).operators.items():
            assert operator.types <= known, (release, op)


def test_versions_compare_by_number_not_by_text():
    assert get_release("10.3").before(10, 12)
    assert not get_release("10.12.1").before(10, 12)
    assert get_release("9.3").before(10)
    assert get_release("11.2").before(11, 2, 1)
    assert get_release("11.x").before(11, 2, 1)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_target_asks_for_more_than_its_releases_document(target):
    for release in TARGETS[target].tensorrt:
        facts = get_release(release)
        assert facts.max_opset is None or TARGETS[target].opset <= facts.max_opset
        assert facts.ir_version is None or TARGETS[target].ir_version <= facts.ir_version
