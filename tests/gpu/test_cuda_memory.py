"""What the runtime takes for granted of pycuda and CUDA: memory, streams, events, mapped memory, graphs, contexts."""
import threading

import numpy as np
import pytest

from edgenext_deploy.runtime import cuda, graph

pytestmark = pytest.mark.gpu

COUNT = 1 << 20
NON_BLOCKING = 1

ADD_ONE = """
extern "C" __global__ void add_one(float *values, int count)
{
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count)
        values[index] += 1.0f;
}
"""


def page_locked(driver, fill, mapped=False):
    flags = driver.host_alloc_flags.DEVICEMAP if mapped else 0
    array = driver.pagelocked_empty((COUNT,), np.float32, mem_flags=flags)
    array[:] = fill
    return array


@pytest.fixture
def api(driver):
    return graph.GraphApi(graph.driver_library())


def test_asynchronous_copies_through_a_stream_that_events_time(driver):
    source, target = page_locked(driver, np.arange(COUNT)), page_locked(driver, -1.0)
    memory, stream = driver.mem_alloc(source.nbytes), driver.Stream(NON_BLOCKING)
    start, end = driver.Event(), driver.Event()
    start.record(stream)
    driver.memcpy_htod_async(int(memory), source, stream)
    driver.memcpy_dtoh_async(target, int(memory), stream)
    end.record(stream)
    end.synchronize()
    assert np.array_equal(source, target) and 0.0 < end.time_since(start) < 1000.0
    memory.free()


def test_mapped_memory_is_the_gpus_at_its_device_pointer(context, driver):
    if not context.maps_host_memory:
        pytest.skip("{} does not map the processor's memory".format(context.name))
    source, target = page_locked(driver, 3.0, mapped=True), page_locked(driver, -1.0, mapped=True)
    stream = driver.Stream(NON_BLOCKING)
    driver.memcpy_dtod_async(
        int(target.base.get_device_pointer()), int(source.base.get_device_pointer()), source.nbytes, stream)
    stream.synchronize()
    assert np.array_equal(source, target)


def test_a_graph_is_recorded_without_running_and_replays_on_its_addresses(driver, api):
    source, target = page_locked(driver, 5.0), page_locked(driver, -1.0)
    first, second = driver.mem_alloc(source.nbytes), driver.mem_alloc(source.nbytes)
    driver.memcpy_htod(first, source)
    driver.memset_d8(second, 0, source.nbytes)
    stream = driver.Stream(NON_BLOCKING)

    def enqueue():
        driver.memcpy_dtod_async(int(second), int(first), source.nbytes, stream)
        return True

    recorded = graph.capture(api, stream.handle, enqueue, str)
    assert not graph.is_capturing(api, stream.handle)
    driver.memcpy_dtoh(target, second)
    assert not target.any()
    for value in (5.0, 7.0):
        source[:] = value
        driver.memcpy_htod_async(int(first), source, stream)
        recorded.launch(stream.handle)
        driver.memcpy_dtoh_async(target, int(second), stream)
        stream.synchronize()
        assert (target == value).all()
    recorded.close()
    first.free()
    second.free()


def test_a_kernel_is_recorded_too(driver, api):
    compiler = pytest.importorskip("pycuda.compiler")
    try:
        module = compiler.SourceModule(ADD_ONE, no_extern_c=True)
    except Exception as error:
        pytest.skip("nvcc does not compile here: {}".format(error))
    values = page_locked(driver, 0.0)
    memory, stream = driver.mem_alloc(values.nbytes), driver.Stream(NON_BLOCKING)
    driver.memcpy_htod(memory, values)
    kernel = module.get_function("add_one")

    def enqueue():
        kernel(memory, np.int32(COUNT), block=(256, 1, 1), grid=(COUNT // 256, 1), stream=stream)
        return True

    enqueue()
    stream.synchronize()
    recorded = graph.capture(api, stream.handle, enqueue, str)
    for _ in range(3):
        recorded.launch(stream.handle)
    driver.memcpy_dtoh_async(values, int(memory), stream)
    stream.synchronize()
    assert (values == 4.0).all()
    recorded.close()
    memory.free()


def test_what_cannot_be_recorded_ends_the_capture_and_leaves_a_working_stream(driver, api):
    stream, values = driver.Stream(NON_BLOCKING), page_locked(driver, 1.0)

    def allocates():
        try:
            driver.mem_alloc(COUNT).free()
        except driver.Error:
            return False
        return True

    with pytest.raises(graph.GraphError, match="while it is recorded: it allocated"):
        graph.capture(api, stream.handle, allocates, lambda: "it allocated")
    assert not graph.is_capturing(api, stream.handle)
    memory = driver.mem_alloc(values.nbytes)
    driver.memcpy_htod_async(int(memory), values, stream)
    stream.synchronize()
    memory.free()


def test_allocations_of_another_thread_do_not_spoil_a_capture(context, driver, api):
    stream = driver.Stream(NON_BLOCKING)
    memory = driver.mem_alloc(1024)
    failed = []

    def allocate():
        try:
            with context.active() as module:
                module.mem_alloc(1 << 20).free()
        except Exception as error:
            failed.append(error)

    def enqueue():
        thread = threading.Thread(target=allocate)
        thread.start()
        thread.join()
        driver.memset_d8_async(int(memory), 1, 1024, stream)
        return True

    recorded = graph.capture(api, stream.handle, enqueue, str)
    assert failed == []
    recorded.launch(stream.handle)
    stream.synchronize()
    recorded.close()
    memory.free()


def test_beside_torch_in_the_primary_context(context):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    if not context.primary:
        pytest.skip("this pycuda has no primary contexts; 2021.1 and later do")
    values = torch.arange(1000, dtype=torch.float32, device="cuda")
    torch.cuda.synchronize()
    with context.active() as driver:
        found = driver.pagelocked_empty((1000,), np.float32)
        # One context: torch's memory is pycuda's.
        driver.memcpy_dtoh(found, values.data_ptr())
        assert (values + 1).sum().item() == pytest.approx(found.sum() + 1000)
    assert values.sum().item() == pytest.approx(found.sum()) and found[-1] == 999


def test_any_thread_and_nothing_stays_current(context):
    import pycuda.driver

    done = []

    def work():
        with context.active() as driver:
            driver.mem_alloc(1024).free()
        done.append(pycuda.driver.Context.get_current())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [None] * 4 and cuda.acquire(0) is context
    context.release()
