import every_command
import pytest


@pytest.fixture
def here(tmp_path):
    """Return a folder with an engine and photos, for `every_command.run_command_line`."""
    return every_command.prepare(tmp_path / "here")
