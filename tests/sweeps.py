"""Parametrizations and fuzzing too long for every run of the tests."""
import os

import pytest


def sweep(values, always):
    """Return the values for `parametrize`; those not in `always` run in `make test-all` alone.

    Args:
        values: all of them; a tuple holds one value for each argument, as `parametrize` takes it.
        always: those that stand for the rest: each value finds a fault that the others do not.
    """
    values, always = list(values), list(always)
    strangers = [value for value in always if value not in values]
    assert not strangers, "not among the values: {}".format(strangers)
    return [value if value in always else _later(value) for value in values]


def _later(value):
    if hasattr(value, "marks"):  # a pytest.param
        return value._replace(marks=(*value.marks, pytest.mark.sweep))
    return pytest.param(*value, marks=pytest.mark.sweep) if isinstance(value, tuple) else pytest.param(
        value, marks=pytest.mark.sweep)


def examples(count):
    """Return how many random examples to try: all in `make test-all`, a fifth otherwise."""
    return count if os.environ.get("EDGENEXT_ALL_TESTS") else max(count // 5, 1)
