"""Inputs that somebody else's work in the stream writes, on doubles of TensorRT and pycuda."""
import numpy as np
import pytest
from doubles.cuda_machine import COPY_MS_PER_BYTE
from trt_cases import frames, in_thread, right, run_all, two_heads

from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.trt import TensorRTSession


class Source:
    """A frame in page-locked memory of its own and what brings it to the device, as a preprocessing kernel does."""

    def __init__(self, session):
        with session._cuda.active() as driver:
            self.memory = driver.pagelocked_empty(session.inputs[0].shape, np.float32)

    def __call__(self, driver, stream, address):
        assert isinstance(address, int)
        driver.memcpy_htod_async(address, self.memory, stream)

    def holding(self, image):
        self.memory[...] = image
        return self


def test_the_answers_are_of_what_was_prepared(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        source = Source(session)
        for image in frames(3):
            assert right(session, session.infer_prepared(source.holding(image)), image)
            assert right(session, session.infer_all(-image), -image)  # both kinds in turn
        assert right(session, session.infer_prepared(source.holding(image), views=True), image)


def test_submitted_ones_come_back_in_order_beside_plain_ones(machine, tmp_path):
    images = frames(6)
    with TensorRTSession(two_heads(machine, tmp_path), buffer_sets=3) as session:
        sources = [Source(session) for _ in range(2)]
        for first, second, third in (images[:3], images[3:]):
            session.submit_prepared(sources[0].holding(first))
            session.submit(second)
            session.submit_prepared(sources[1].holding(third))
            with pytest.raises(UsageError, match="all 3 buffer sets"):
                session.submit_prepared(sources[0])
            assert all(right(session, session.collect(), image) for image in (first, second, third))


def test_four_threads_prepare_at_once(machine, tmp_path):
    images, wrong = frames(40), []
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        def work(source, mine):
            for image in mine:
                if not right(session, session.infer_prepared(source.holding(image)), image):
                    wrong.append(image)

        sources = [Source(session) for _ in range(4)]
        in_thread(*[lambda start=start: work(sources[start], images[start::4]) for start in range(4)])
    assert wrong == []


def test_its_time_is_not_a_copys(new_machine, tmp_path):
    (image,) = frames(1)
    with TensorRTSession(two_heads(new_machine, tmp_path)) as session:
        source = Source(session)
        session.infer_prepared(source.holding(image))
        assert session.timings.host_to_device_ms is None
        assert session.timings.prepare_ms == pytest.approx(image.nbytes * COPY_MS_PER_BYTE)
        session.infer(image)
        assert session.timings.prepare_ms is None and session.timings.host_to_device_ms is not None


def test_one_that_fails_harms_no_other(machine, tmp_path):
    def broken(driver, stream, address):
        raise ZeroDivisionError

    def beyond(driver, stream, address):
        raise driver.LogicError("cuLaunchKernel failed: invalid argument")

    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        for function in (session.infer_prepared, session.submit_prepared):
            with pytest.raises(ZeroDivisionError):
                function(broken)
            with pytest.raises(cuda.CudaError, match="invalid argument"):
                function(beyond)
        assert run_all(session, frames(4)) == 1.0
    with pytest.raises(UsageError, match="closed"):
        session.infer_prepared(broken)


def test_mutation_the_input_is_written_in_another_stream(new_machine, tmp_path):
    with TensorRTSession(two_heads(new_machine, tmp_path)) as session:
        source = Source(session)
        with session._cuda.active() as driver:
            streams = [driver.Stream()]

        def elsewhere(driver, stream, address):
            source(driver, streams[0], address)

        for image in frames(3):
            source.holding(image)
            assert not right(session, session.infer_prepared(elsewhere), image)
        with session._cuda.active():
            streams.clear()
