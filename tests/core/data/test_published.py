import pytest

from edgenext_deploy.data.published import figures

QUANTITIES = {
    "parameters": "M", "madds": "M", "top1": "%", "top5": "%", "coco_map": "%", "voc_miou": "%",
    "nano_latency": "ms", "nano_throughput": "images/s",
    "a100_latency": "us", "a100_throughput_batch1": "images/s", "a100_throughput_batch256": "images/s"}


def value(variant, quantity, image_size=256):
    [figure] = [figure for figure in figures(variant, quantity) if figure.image_size == image_size]
    return figure.value


def test_every_figure_has_unit_and_source():
    assert len(figures()) > 100
    for figure in figures():
        assert figure.unit == QUANTITIES[figure.quantity]
        assert figure.value > 0
        assert figure.source
        if figure.quantity != "parameters":
            assert figure.image_size in (224, 256, 288, 320, 512)


def test_no_figure_is_there_twice():
    keys = [(f.variant, f.quantity, f.image_size, f.source, f.note) for f in figures()]
    assert len(set(keys)) == len(keys)


def test_selection():
    assert {figure.variant for figure in figures("xs")} == {"xs"}
    assert {figure.quantity for figure in figures(quantity="top5")} == {"top5"}
    assert figures("resnet50") == ()


@pytest.mark.parametrize("variant", ["xxs", "xs", "s", "mobilevit_xxs", "mobilevit_xs", "mobilevit_s"])
def test_latencies_and_throughputs_of_one_device_agree(variant):
    # The paper cuts its figures off rather than rounding them; the throughputs come from the code's comments.
    nano_ms = 1e3 / value(variant, "nano_throughput")
    a100_us = 1e6 / value(variant, "a100_throughput_batch256")
    assert value(variant, "nano_latency") == pytest.approx(nano_ms, abs=0.1)
    assert value(variant, "a100_latency") == pytest.approx(a100_us, abs=1.0)


def test_methods_are_said():
    assert all("not stated" in figure.note for figure in figures(quantity="nano_latency"))
    assert all("eager PyTorch" in figure.note for figure in figures(quantity="a100_throughput_batch1"))
    assert all("batch 256" in figure.note for figure in figures(quantity="a100_latency"))
    [misprint] = [figure for figure in figures("mobilevit_xs", "madds") if figure.value == 886]
    assert "986" in misprint.note
