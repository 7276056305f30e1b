"""Auto-pin: it repairs what is broken, with no pin that is not needed, or says that it cannot."""
import functools
import io
import json
import re

import numpy as np
import precision_graphs as graphs
import pytest
from rich.console import Console

from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.precision.autopin import propose_pins
from edgenext_deploy.export.precision.drift import analyse_drift
from edgenext_deploy.export.precision.drift_report import drift_json, print_proposal

PLANTED = "stages.2.1.mlp."
# GELU is one node from opset 20, five before; `act/erf` and `act/shift` take and give small values.
NEEDED = {
    "nchw-13": ["pwconv1", "act/scale", "act/product", "act", "pwconv2"],
    "tokens-20": ["pwconv1", "act", "pwconv2"],
}


def overflowing_network(form):
    return graphs.network(form, functools.partial(graphs.plant_overflow, block=1), graphs.SHALLOW)


@pytest.fixture(scope="module", params=sorted(graphs.FORMS))
def planted(request):
    model, pins = overflowing_network(request.param)
    samples = graphs.golden_samples(2)
    return request.param, model, pins, samples, propose_pins(model, pins, samples)


def test_a_planted_block_is_repaired_with_few_pins(planted):
    form, model, pins, samples, proposal = planted
    assert list(proposal.added) == [PLANTED + name for name in NEEDED[form]]
    assert not proposal.before.meets(0.01)
    assert proposal.after.meets(0.01)
    assert proposal.worst_case.accumulate == "fp16"
    assert proposal.pins == {**pins, **proposal.added}
    assert proposal.pruned
    assert analyse_drift(model, proposal.pins, samples).effect == proposal.after


def test_every_proposed_pin_is_needed(planted):
    _, model, _, samples, proposal = planted
    for name in proposal.added:
        without = {key: reason for key, reason in proposal.pins.items() if key != name}
        # The first sample that shows it is enough.
        assert not all(analyse_drift(model, without, [sample]).effect.meets(0.01) for sample in samples), name


def test_reasons_say_what_overflows_and_how_far(planted):
    proposal = planted[-1]
    found = re.fullmatch(r"drift analysis: overflows \(largest magnitude (\S+)\)", proposal.added[PLANTED + "pwconv1"])
    assert float(found[1]) > 65504
    assert "takes values that overflow" in proposal.added[PLANTED + "pwconv2"]


def test_the_same_search_gives_the_same_pins(planted):
    form, model, pins, samples, proposal = planted
    if form == "tokens-20":
        assert propose_pins(model, pins, samples) == proposal


def test_what_is_good_enough_gets_no_pins():
    model, pins = graphs.plain_network("tokens-20", graphs.SHALLOW)
    proposal = propose_pins(model, pins, graphs.golden_samples(1))
    assert proposal.added == {}
    assert proposal.pins == pins
    assert proposal.before == proposal.after


@pytest.mark.parametrize("form", graphs.FORMS)
def test_missing_islands_are_found_again(form):
    model, pins = graphs.network(form, graphs.scale_activations, graphs.SHALLOW)
    kept = {name: reason for name, reason in pins.items()
            if "LayerNorm" not in reason or not name.startswith("stages.2.")}
    samples = graphs.golden_samples(1)
    proposal = propose_pins(model, kept, samples)
    assert proposal.added.keys() <= pins.keys() - kept.keys()
    assert 0 < len(proposal.added) < len(pins) - len(kept) or form == "tokens-20"
    assert proposal.after.meets(0.01)


def test_underflow_is_repaired_too():
    model = graphs.graph(
        [("Mul", ["x", "small"], "shrink", {}), ("Mul", ["shrink", "large"], "grow", {}),
         ("Add", ["grow", "grow"], "after", {})],
        [1, 4], {"small": np.float32(1e-9), "large": np.float32(6e4)})
    proposal = propose_pins(model, {}, [np.array([[1, 2, 3, 4]], np.float32)], minimum_share=0)
    assert list(proposal.added) == ["shrink", "grow"]
    assert "adds an error of 1 of its output" in proposal.added["shrink"]
    assert proposal.after.error < 1e-3


def test_a_weight_beyond_fp16_is_pinned():
    model = graphs.graph(
        [("Mul", ["x", "large"], "grow", {}), ("Mul", ["grow", "half"], "after", {})],
        [1, 2], {"large": np.float32(1e6), "half": np.float32(0.5)})
    proposal = propose_pins(model, {}, [np.array([[1e-3, 2e-3]], np.float32)])
    assert list(proposal.added) == ["grow"]


def test_a_tolerance_that_cannot_be_met_is_a_verification_error():
    model, pins = graphs.plain_network("tokens-20", graphs.SHALLOW)
    steps = []
    with pytest.raises(VerificationError, match="tolerance of 1e-09") as caught:
        propose_pins(model, pins, graphs.golden_samples(1), tolerance=1e-9, progress=steps.append)
    assert caught.value.exit_code == 5
    assert "multiply-adds in FP16" in caught.value.message
    assert any("pins" in step for step in steps)


def test_the_number_of_runs_is_bounded():
    model, pins = overflowing_network("tokens-20")
    samples = graphs.golden_samples(1)
    proposal = propose_pins(model, pins, samples, most_runs=3)
    assert not proposal.pruned
    assert proposal.after.meets(0.01)
    with pytest.raises(VerificationError, match=r"\(3 runs\)"):
        propose_pins(model, pins, samples, tolerance=1e-9, most_runs=3)


def test_the_proposal_prints_and_goes_into_the_json(planted):
    _, model, _, samples, proposal = planted
    stream = io.StringIO()
    print_proposal(proposal, Console(file=stream, width=80))
    assert f"{len(proposal.added)} further nodes in FP32" in stream.getvalue()
    assert all(name in stream.getvalue() for name in proposal.added)
    data = json.loads(drift_json(analyse_drift(model, proposal.pins, samples[:1]), proposal))
    assert data["proposal"]["added"] == proposal.added
    assert data["pins"] == proposal.pins
