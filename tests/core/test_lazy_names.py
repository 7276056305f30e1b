"""Public names that are imported on first use, where what they need is not installed."""
import sys
import types

import pytest

from edgenext_deploy.lazy_names import lazy_names


@pytest.mark.parametrize("extra, words", [("export", r"; toy_face.thing needs Python 3.10 .*\[export\]"), ("", "None")])
def test_a_missing_library_is_told_with_the_command_that_installs_it(monkeypatch, extra, words):
    face = types.ModuleType("toy_face")
    monkeypatch.setitem(sys.modules, "toy_face", face)
    monkeypatch.setitem(sys.modules, "toy_library", None)
    lazy_names("toy_face", {"thing": "toy_library"}, extra)
    with pytest.raises(ModuleNotFoundError, match=r"toy_library.*" + words) as caught:
        assert face.thing
    assert caught.value.name == "toy_library"
    with pytest.raises(AttributeError):
        assert face.other
