"""What the errors hold, and the error for an unknown name."""
import pickle

import pytest

from edgenext_deploy.errors import BadInputError, UsageError, unknown_name


def test_a_fix_that_is_looked_for_is_looked_for_once_and_only_where_it_is_shown():
    asked = []

    def fix():
        asked.append(1)
        return "do this"

    error = BadInputError("broken", fix)
    assert error.message == "broken" and not asked
    assert str(error) == str(error) == "broken; do this" and error.fix == "do this" and len(asked) == 1
    error.fix = None
    assert str(error) == "broken"


def test_an_error_with_a_function_goes_to_another_process():
    sent = pickle.loads(pickle.dumps(BadInputError("broken", lambda: "do this")))
    assert type(sent) is BadInputError and str(sent) == "broken; do this"


@pytest.mark.parametrize("name, near", [("nanoo", "nano"), ("ORIN", "orin"), ("jetson", "nano"), ("?", None)])
def test_the_nearest_name_is_suggested(name, near):
    error = unknown_name("target", name, ["nano", "orin"], {"jetson_nano": "nano"})
    assert isinstance(error, UsageError) and error.fix == "choose one of: nano, orin"
    assert error.message == "unknown target {!r}{}".format(name, "; did you mean {!r}?".format(near) if near else "")
