"""Versions compare as numbers."""
import pytest

from edgenext_deploy.machine.versions import plain_version, version_numbers


@pytest.mark.parametrize("text, count, numbers", [
    ("8.2.1.8", None, (8, 2, 1, 8)), ("8.2.1.8", 3, (8, 2, 1)), ("36.5", 3, (36, 5, 0)), ("R32.7.1", 3, (32, 7, 1)),
    ("rtx-1.7", None, (1, 7)), ("", None, ()), ("none", 2, (0, 0)),
])
def test_numbers(text, count, numbers):
    assert version_numbers(text, count) == numbers


def test_ten_is_newer_than_nine():
    assert version_numbers("10.3") > version_numbers("9.3") > version_numbers("9.2.9")


def test_no_number_grows_without_bound():
    assert max(version_numbers("9" * 5000)) < 10**9


@pytest.mark.parametrize("text, plain", [
    ("10.0.0b6", "10.0.0"), ("8.5.2.2.post1", "8.5.2.2"), ("1.19.5+cu11", "1.19.5"), ("11", "11"), ("v8.2", None),
    ("", None), (None, None), (8.2, None),
])
def test_suffixes_are_left_out(text, plain):
    assert plain_version(text) == plain
