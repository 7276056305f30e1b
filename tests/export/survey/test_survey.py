"""`edgenext-export formulations`: what it lists, and what is out."""
import dataclasses
import json
import math

import pytest
import torch
from command_lines import run_here

from edgenext_deploy.commands import screen
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.checks.rtx import RtxBuild, RtxReport
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.request import ExportRequest, no_progress
from edgenext_deploy.export.survey import api, survey
from edgenext_deploy.export.survey.survey_text import row_of
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.variants.registry import get_variant

# xxs with every kind of block and few of each.
SHALLOW = dataclasses.replace(
    get_variant("xxs"), name="shallow", config=dataclasses.replace(get_variant("xxs").config, depths=(1, 1, 1, 1)))
NAMES = ("nchw", "nchw-scores", "nchw-scaled-scores")


def build(path, sms):
    return RtxReport(True, True, "1.0", 7, builds=(RtxBuild(sms[0], True, 0.1, 5, (), engine_layers=42),))


def listed(model, names=NAMES, tolerance=0.02, **options):
    request = ExportRequest(model, fp16=True, image_size=64, **options)
    return survey.Survey(request, names, None, tolerance, no_progress, build).run()


@pytest.fixture(scope="module")
def report():
    return listed(SHALLOW)


def test_each_form_has_its_figures(report):
    plain, scores, scaled = report.candidates
    assert (report.target, report.fp16, report.shape, report.samples) == ("nano", True, (1, 3, 64, 64), 8)
    assert [candidate.name for candidate in report.may_run] == list(NAMES)
    assert (plain.fp32_nodes, scores.fp32_nodes, scaled.fp32_nodes) == (107, 110, 0)
    assert scaled.casts == 2 < scores.casts < plain.casts
    assert plain.traffic_bytes > scores.traffic_bytes > scaled.traffic_bytes
    assert all(candidate.kernels > 90 and candidate.rtx_layers == 42 for candidate in report.candidates)
    assert all(0 < candidate.parity < 1e-5 and 1e-4 < candidate.drift < 0.02 for candidate in report.candidates)


def test_the_same_graph_is_listed_once():
    first, second = listed("mobilevit_xxs", ("nchw", "nchw-scores")).candidates
    assert (first.same_as, second.same_as) == ("", "nchw")
    assert row_of(second)[-1] == "same as nchw"


def test_drift_decides_what_is_out(report):
    """Activations that FP16 holds in the scaled form and in the pinned one, but not as scores of unscaled Q and K."""
    model = randomise(create_model(SHALLOW, num_classes=10), seed=0)
    with torch.no_grad():
        for block in (block for stage in model.stages for block in stage if hasattr(block, "xca")):
            rows = 2 * block.xca.proj.in_features
            block.xca.qkv.weight[:rows] *= 300
            block.xca.qkv.bias[:rows] *= 300
    plain, scores, scaled = listed(model).candidates
    assert (plain.out, scaled.out) == ("", "")
    assert "overflow" in scores.out and "xca.scores" in scores.out and row_of(scores)[-1] == "out"
    assert scores.to_json()["drift"] == "infinite"
    tight = listed(SHALLOW, NAMES[:1], tolerance=1e-4).candidates[0]
    assert "FP16 is off by" in tight.out and "0.0001 is allowed" in tight.out


def test_the_command_prints_a_table_and_json(report, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(api, "list_formulations", lambda variant, **options: asked.append((variant, options)) or report)
    words = ["formulations", "--variant", "xxs", "--formulation", "nchw-scaled", "--target", "orin"]
    code, out, _ = run_here(capsys, export_command, *words, "--json")
    data = json.loads(out)
    assert code == 0 and [candidate["name"] for candidate in data["candidates"]] == list(NAMES)
    assert asked[0][0] == "xxs" and asked[0][1]["names"] == ("nchw-scaled",) and asked[0][1]["target"] == "orin"
    code, out, _ = run_here(capsys, export_command, *words)
    assert code == 0 and all(name in out for name in NAMES) and "may run" in out
    monkeypatch.setattr(screen, "_WIDTH_OFF_A_TERMINAL", 80)
    long = dataclasses.replace(report, candidates=(
        dataclasses.replace(report.candidates[0], name="nchw-attribute-scaled-scores"),))
    monkeypatch.setattr(api, "list_formulations", lambda variant, **options: long)
    assert "nchw-attribute-scaled-scores " in run_here(capsys, export_command, *words)[1]


def test_a_form_that_computes_something_else_is_json_too(report):
    wrong = dataclasses.replace(report.candidates[0], parity=math.inf)
    text = json.dumps(dataclasses.replace(report, candidates=(wrong,)).to_json(), allow_nan=False)
    (candidate,) = json.loads(text)["candidates"]
    assert candidate["parity"] == "infinite" and candidate["drift"] == wrong.drift


def test_photos_for_the_drift_are_refused_where_there_is_none():
    with pytest.raises(UsageError, match="--samples"):
        api.list_formulations("xxs", fp16=False, samples="photos")


def test_an_unknown_name_is_refused_before_any_work():
    with pytest.raises(UsageError, match="unknown word 'fast'"):
        api.list_formulations("xxs", names=["nchw-fast"])
    with pytest.raises(UsageError, match="xxxs"):
        api.list_formulations("xxxs")
