import pytest
from bench_doubles import make_hardware, make_nano_row, make_row, make_stages

from edgenext_deploy.benchmarks.hardware.state import ClockRange, SensorError
from edgenext_deploy.benchmarks.latency import cautions
from edgenext_deploy.benchmarks.latency_report import Mode, OutputCheck, WarmUp


def codes(row):
    return [caution.code for caution in cautions.cautions_of(row)]


def text(row):
    (caution,) = cautions.cautions_of(row)
    return caution.text


def test_a_clean_row_has_none():
    assert codes(make_row()) == []
    assert codes(make_nano_row()) == []


def test_a_gpu_that_waits_for_its_launches_is_enqueue_bound():
    row = make_nano_row(stages=make_stages(enqueue=4.5, compute=5.0))
    assert codes(row) == [cautions.ENQUEUE_BOUND]
    assert "4.50 ms" in text(row) and "--cuda-graph" in text(row)
    assert codes(make_nano_row(stages=make_stages(enqueue=3.5, compute=5.0))) == []


def test_with_a_cuda_graph_the_advice_is_not_given_again():
    row = make_nano_row(stages=make_stages(enqueue=4.5, compute=5.0), mode=Mode("wall", "included", True, True, None))
    assert codes(row) == []


def test_copies_that_take_more_than_half_of_the_computing_are_transfer_bound():
    row = make_nano_row(stages=make_stages(host_to_device=2.0, compute=4.0, device_to_host=0.5))
    assert codes(row) == [cautions.TRANSFER_BOUND]
    assert "copies take 2.50 ms, computing 4.00 ms" in text(row)
    without = make_stages(host_to_device=2.0, compute=4.0)._replace(host_to_device=None, device_to_host=None)
    assert codes(make_nano_row(stages=without)) == []


def test_unstable_rows_get_the_command_that_locks_their_clocks():
    unstable = {"stable": False, "window_spread": 0.31}
    assert "31 % apart" in text(make_row(**unstable))
    jetson = make_nano_row(**unstable)
    for board in ("NVIDIA Jetson Nano Developer Kit", "Jetson-AGX", "NVIDIA Orin Nano Developer Kit"):
        assert "sudo jetson_clocks" in text(jetson._replace(host=jetson.host._replace(board=board)))
    server = make_nano_row(**unstable)
    server = server._replace(host=server.host._replace(board=None))
    assert "nvidia-smi -lgc" in text(server)
    assert "jetson_clocks" not in text(make_row(**unstable))


def test_free_clocks_are_a_caution_for_engines_on_the_gpu():
    free = {"gpu": ClockRange(76.8, 921.6)}
    row = make_nano_row(hardware=make_hardware(clock_ranges=free))
    assert codes(row) == [cautions.CLOCKS_FREE]
    assert "between 77 and 922 MHz" in text(row)
    assert codes(make_row(hardware=make_hardware(clock_ranges=free))) == []


def test_throttling_names_its_reason():
    row = make_row(hardware=make_hardware(throttled=("temperature (cpu-balanced)",)))
    assert codes(row) == [cautions.THROTTLED]
    assert "temperature (cpu-balanced)" in text(row)


def test_a_warm_up_without_an_end_and_an_interrupted_run():
    assert codes(make_row(warmup=WarmUp(3000.0, 9, False))) == [cautions.WARM_UP_UNSTABLE]
    assert codes(make_row(interrupted=True)) == [cautions.INTERRUPTED]


def test_another_device_comes_first():
    row = make_row(device="nano", device_matches=False, interrupted=True)
    assert codes(row) == [cautions.DEVICE_MISMATCH, cautions.INTERRUPTED]
    assert "says nothing about nano" in cautions.cautions_of(row)[0].text


@pytest.mark.parametrize(("check", "said"), [
    (OutputCheck("ref", 0.5, True, 0.02, False), "differ from those of ref by 0.5"),
    (OutputCheck("ref", None, None, 0.02, False), "cannot be compared"),
    (OutputCheck("ref", 0.01, False, 0.02, True), "another top-1 class"),
])
def test_outputs_that_are_not_the_references(check, said):
    row = make_row(outputs=check)
    assert codes(row) == [cautions.OUTPUTS_DIFFER]
    assert said in text(row)


def test_outputs_that_agree_are_no_caution():
    assert codes(make_row(outputs=OutputCheck("ref", 0.01, True, 0.02, True))) == []
    assert codes(make_row(outputs=OutputCheck("ref", 0.01, None, 0.02, True))) == []


def test_a_graph_that_was_asked_for_and_not_used():
    row = make_row(mode=Mode("wall", "none", True, None, 2))
    assert codes(row) == [cautions.CUDA_GRAPH_UNUSED]
    assert "this session has none" in text(row)
    refused = make_nano_row(mode=Mode("wall", "included", True, False, None))
    assert "none can be recorded here" in text(refused)


def test_sensors_that_failed_and_sensors_that_are_forbidden_are_told_apart():
    troubles = (SensorError("/a", "lost", "/a: answered before and does not any more", 1.0),
                SensorError("/b", "denied", "/b: no permission to read it", -1.0),
                SensorError("/c", "denied", "/c: no permission to read it", -1.0))
    row = make_row(hardware=make_hardware(troubles=troubles))
    assert codes(row) == [cautions.SENSOR_FAILED, cautions.SENSOR_DENIED]
    failed, denied = [caution.text for caution in cautions.cautions_of(row)]
    assert "/a: answered before" in failed
    assert "/b (and 1 more)" in denied and "sudo" in denied
