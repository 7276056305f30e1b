"""Headers, sidecars and whole files with random content: a clear error or a right answer, and nothing else."""
import json

import pytest
from plan_samples import changed, contents, fields, identify_plan, late_plan, orin_record, put, written
from sweeps import examples

from edgenext_deploy.artifacts.plan_check import sidecar_path
from edgenext_deploy.artifacts.plan_header import parse_header
from edgenext_deploy.artifacts.plan_sidecar import parse_record
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.foreign_text import visible


def test_fuzz_of_the_header():
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies

    tags = strategies.sampled_from([
        b"", b"ftrt", b"vtrt", b"ptrt", b"PK\x03\x04", b"\x08\x07\x12", b"\x80\x04", b"\x10\0\0\0{"])

    @hypothesis.settings(max_examples=examples(1500), deadline=None)
    @hypothesis.given(tags, strategies.binary(max_size=300), strategies.integers(0, 1 << 40))
    def fuzz(tag, rest, size):
        head = tag + rest
        try:
            header = parse_header(head[:256], max(size, len(head)), "a.plan")
        except BadInputError as error:
            assert visible(error.message) == error.message and len(error.message) < 300
        else:
            assert head[:4] in (b"ftrt", b"vtrt", b"ptrt")
            assert header.tensorrt is None or header.tensorrt.replace(".", "").isdigit()

    fuzz()


def test_fuzz_of_the_sidecar(tmp_path):
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies

    path = written(tmp_path)
    good = json.loads(contents(sidecar_path(path)).decode())
    places = list(fields(good))
    values = strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
        lambda inner: (strategies.lists(inner, max_size=3)
                       | strategies.dictionaries(strategies.text(), inner, max_size=3)),
        max_leaves=10)

    def judge(data):
        try:
            parse_record(data, "a.plan.json")
        except BadInputError as error:
            assert visible(error.message) == error.message and len(error.message) < 600

    @hypothesis.settings(max_examples=examples(1000), deadline=None)
    @hypothesis.given(strategies.lists(strategies.tuples(strategies.sampled_from(places), values), max_size=3))
    def fuzz_fields(changes):
        data = good
        for place, value in changes:
            try:
                data = changed(data, place, value)
            except (KeyError, TypeError):
                continue  # an outer field was replaced before
        judge(json.dumps(data).encode("utf-8"))

    text = contents(sidecar_path(path))

    @hypothesis.settings(max_examples=examples(1000), deadline=None)
    @hypothesis.given(strategies.integers(0, len(text)), strategies.integers(0, 20), strategies.binary(max_size=20))
    def fuzz_bytes(start, length, replacement):
        judge(text[:start] + replacement + text[start + length:])

    fuzz_fields()
    fuzz_bytes()


def test_fuzz_of_whole_files(tmp_path):
    """A plan and a sidecar that were both tampered with are accepted only if nothing that counts has changed."""
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies

    plan, path = late_plan(size=300), written(tmp_path, data=late_plan(size=300), record=orin_record())
    text = contents(sidecar_path(path))
    cut = strategies.tuples(strategies.integers(0, 300), strategies.integers(0, 8), strategies.binary(max_size=8))

    @hypothesis.settings(max_examples=examples(500), deadline=None)
    @hypothesis.given(cut, strategies.none() | strategies.tuples(
        strategies.integers(0, len(text)), strategies.integers(0, 8), strategies.binary(max_size=8)))
    def fuzz(of_plan, of_text):
        start, length, new = of_plan
        damaged = plan[:start] + new + plan[start + length:]
        put(path, damaged)
        if of_text is None:
            put(sidecar_path(path), text)
        else:
            start, length, new = of_text
            put(sidecar_path(path), text[:start] + new + text[start + length:])
        try:
            identify_plan(path)
        except BadInputError:
            return
        assert damaged == plan

    fuzz()
