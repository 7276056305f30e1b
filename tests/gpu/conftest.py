"""A real GPU, or a skip that says what is missing. Nothing in this folder has run yet: no GPU was at hand."""
import pytest

from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.runtime import cuda


@pytest.fixture
def context():
    """Return the device's context, not current; pycuda has to be built here."""
    try:
        found = cuda.acquire(0)
    except EdgeNextError as error:
        pytest.skip("no GPU to test on: {}".format(error))
    yield found
    found.release()


@pytest.fixture
def driver(context):
    """Return ``pycuda.driver`` with the context current."""
    with context.active() as module:
        yield module
