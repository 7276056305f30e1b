"""Old calls: what they become, what they say, and which calls are refused."""
import warnings

import pytest

from edgenext_deploy.deprecated import old_call


@old_call("height", "width", renamed={"threads": "runtime_threads"})
def resized(image, *, height=1, width=2, runtime_threads=None):
    """Return what was given."""
    return image, height, width, runtime_threads


def test_a_call_in_the_new_form_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resized("a", width=4, runtime_threads=2) == ("a", 1, 4, 2)
        assert resized.__doc__ == "Return what was given."


@pytest.mark.parametrize("call, result, new", [
    (lambda: resized("a", 3), ("a", 3, 2, None), "resized('a', height=3)"),
    (lambda: resized("a", 3, 4), ("a", 3, 4, None), "resized('a', height=3, width=4)"),
    (lambda: resized("a", threads=2), ("a", 1, 2, 2), "resized('a', runtime_threads=2)"),
    (lambda: resized("a", 3, width=4), ("a", 3, 4, None), "resized('a', width=4, height=3)"),
    (lambda: resized(list(range(99)), 3), (list(range(99)), 3, 2, None), "resized(..., height=3)"),
])
def test_an_old_call_works_and_shows_the_new_one(call, result, new):
    with pytest.warns(DeprecationWarning) as caught:
        assert call() == result
    (warning,) = caught
    assert str(warning.message).endswith("write " + new)
    assert warning.filename == __file__  # the line to change


@pytest.mark.parametrize("call", [
    lambda: resized("a", 3, height=4), lambda: resized("a", threads=1, runtime_threads=2),
    lambda: resized("a", 3, 4, 5), lambda: resized(), lambda: resized("a", nothing=1)])
def test_what_was_never_a_call_is_refused(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError):
            call()
