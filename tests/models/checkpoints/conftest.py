"""Weights files as people save them, loaded or refused."""
import pytest

# Their failed assertions tell the values, as those of a test do.
pytest.register_assert_rewrite("narrow_checkpoints")


@pytest.fixture
def load(tmp_path):
    """Return a function that saves an object and loads its parameters as those of a variant."""
    import torch
    from narrow_checkpoints import NARROW

    from edgenext_deploy.models.checkpoints.checkpoint import load_checkpoint

    def call(content, variant=NARROW, **options):
        path = tmp_path / "weights.pth"
        torch.save(content, path)
        return load_checkpoint(path, variant=variant, **options)

    return call


@pytest.fixture
def refusal(load):
    """Return a function that saves an object and returns the one-line error that it is refused with."""
    from narrow_checkpoints import NARROW

    from edgenext_deploy.errors import BadInputError

    def call(content, variant=NARROW, **options):
        with pytest.raises(BadInputError) as caught:
            load(content, variant, **options)
        assert caught.value.fix and "\n" not in caught.value.message
        return caught.value

    return call
