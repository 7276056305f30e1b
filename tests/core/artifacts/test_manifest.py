import contextlib
import json
import os

import pytest
from paths import DATA
from sweeps import examples

from edgenext_deploy.artifacts import manifest
from edgenext_deploy.errors import BadInputError

TINY = os.path.join(DATA, "tiny_classifier.onnx")
TINY_JSON = os.path.join(DATA, "tiny_classifier.json")


def tiny_text():
    with open(TINY_JSON, encoding="utf-8") as stream:
        return stream.read()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "x.json")


def write(path, text):
    with open(path, "wb") as stream:
        stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_reading_gives_records_and_writing_them_gives_the_same_bytes():
    found = manifest.read(TINY_JSON)
    assert isinstance(found.preprocessing, manifest.Preprocessing) and found.inputs[0].shape == (1, 3, 32, 32)
    assert found.golden.tolerance == {"fp32": 1e-4} and found.schema == 1
    assert manifest.dump(found).decode("utf-8") == tiny_text()


@pytest.mark.parametrize("change", [
    lambda tiny: tiny._replace(preprocessing=tiny.preprocessing._replace(channel_order="bgr")),
    lambda tiny: tiny._replace(preprocessing=tiny.preprocessing._replace(fit="letterbox", pad_color=(114, 114, 114))),
    lambda tiny: tiny._replace(scores=manifest.Scores("sigmoid")),
    lambda tiny: tiny._replace(inputs=(tiny.inputs[0]._replace(dtype="uint8"),)),
], ids=["channel_order", "pad_color", "scores", "uint8"])
def test_what_an_older_release_would_ignore_makes_schema_2(path, change):
    tiny = manifest.read(TINY_JSON)
    changed = change(tiny)
    assert (manifest.schema_needed(tiny), manifest.schema_needed(changed)) == (1, 2)
    with pytest.raises(BadInputError, match="manifest schema 1 with fields of schema 2"):
        manifest.read(write(path, manifest.dump(changed)))
    newer = changed._replace(schema=2)
    assert manifest.read(write(path, manifest.dump(newer))) == newer


def test_path_is_beside_the_engine_whatever_its_ending():
    assert manifest.manifest_path("/a/xxs.onnx") == "/a/xxs.json" == manifest.manifest_path("/a/xxs.plan")
    assert manifest.manifest_path("a.b/xxs") == "a.b/xxs.json"


@pytest.mark.parametrize("text, message", [
    ("", "is empty"), ("{", "not a manifest"), ("[]", "list found, an object expected"), ("{}", "no field 'schema'"),
    ("null", "NoneType found"), ('"schema"', "str found"), (b"\xff\xfe\x00", "not a manifest"),
    (b"\x08\x07\x12\x04", "not a manifest"), ("[" * 100000, "not a manifest"),
    ('{"schema":' * 100000, "not a manifest"),
    ('{"schema": 1}', "field 'toolkit_version' is missing"),
    ('{"schema": 3, "toolkit_version": "9.9"}', "schema 3 found, 1 or 2 expected.*toolkit version 9.9"),
    ('{"schema": null}', "schema None found"), ('{"schema": "1"}', "schema '1' found"),
    (b"\xef\xbb\xbf" + b'{"schema": 1}', "not a manifest"),
], ids=lambda value: repr(value)[:20])
def test_what_is_no_manifest_is_bad_input(path, text, message):
    with pytest.raises(BadInputError, match=message) as caught:
        manifest.read(write(path, text))
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_huge_file_is_refused_before_it_is_read(path):
    with open(path, "wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(BadInputError, match="too large for a manifest"):
        manifest.read(path)


@pytest.mark.parametrize("field, value, message", [
    ("schema", "true", "schema: expected int, found bool"),
    ("variant", "7", "variant: expected str"),
    ("labels", '"tench"', "labels: expected a list"),
    ("inputs", '[{"name": "x", "shape": [1, "3"], "dtype": ""}]', r"inputs\[0\].shape\[1\]: expected int"),
    ("weights", '{"source": "x", "random": 0, "sha256": ""}', "weights.random: expected bool"),
    ("golden", '{"seed": 0}', "golden: field 'input_sha256' is missing"),
    ("lowering", "[]", "lowering: expected an object"),
    ("variant", "[" * 900 + "]" * 900, "variant: expected str|not a manifest"),
    ("variant", "9" * 100000, "variant: expected str|not a manifest"),
    ("preprocessing", '{"height": 1e999}', "preprocessing.height: expected int"),
], ids=str.split("schema variant labels inputs weights golden lowering deep long infinite"))
def test_field_of_another_type_is_named(path, field, value, message):
    data = json.loads(tiny_text())
    data[field] = "@value@"
    with pytest.raises(BadInputError, match=message) as caught:
        manifest.read(write(path, json.dumps(data).replace('"@value@"', value)))
    assert len(str(caught.value)) < 600


def test_damaged_manifest_is_either_read_or_bad_input(path):
    hypothesis = pytest.importorskip("hypothesis")
    strategies = pytest.importorskip("hypothesis.strategies")
    original = tiny_text().encode("utf-8")

    @hypothesis.settings(max_examples=examples(200), deadline=None, derandomize=True)
    @hypothesis.given(strategies.integers(0, len(original)), strategies.integers(0, 20),
                      strategies.binary(max_size=6))
    def check(position, removed, inserted):
        write(path, original[:position] + inserted + original[position + removed:] or b"x")
        with contextlib.suppress(BadInputError):
            assert isinstance(manifest.read(path), manifest.Manifest)

    check()
