import pytest

from edgenext_deploy.preprocess import photo_limits


@pytest.fixture(autouse=True)
def pillow_that_is_taken_as_sound(monkeypatch):
    """Pillow 8.4 of Python 3.6 reads every format in these tests, whose files are our own; see test_photo_limits."""
    monkeypatch.setattr(photo_limits, "_SOUND_PILLOW", (0,))
