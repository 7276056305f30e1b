"""The error for an unknown name."""
import pytest

from edgenext_deploy.errors import UsageError, unknown_name


@pytest.mark.parametrize("name, near", [("nanoo", "nano"), ("ORIN", "orin"), ("jetson", "nano"), ("?", None)])
def test_the_nearest_name_is_suggested(name, near):
    error = unknown_name("target", name, ["nano", "orin"], {"jetson_nano": "nano"})
    assert isinstance(error, UsageError) and error.fix == "choose one of: nano, orin"
    assert error.message == "unknown target {!r}{}".format(name, "; did you mean {!r}?".format(near) if near else "")
