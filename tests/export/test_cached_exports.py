"""The tests' own cache of exports: an export is found again only where nothing that it depends on has changed."""
from pathlib import Path

import exports
import pytest

from edgenext_deploy.export.result import ExportResult


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Replace the export by one that writes a file, and return the requests that it got."""
    requests = []

    def quick_export(request, **tools):
        requests.append(request)
        path = Path(request.output, request.model_or_variant + ".onnx")
        path.write_bytes(b"graph %d" % len(requests))
        return ExportResult(None, str(path), str(path.with_suffix(".json")), {}, {}, (), None, None, ())

    source = tmp_path / "source"
    source.mkdir()
    (source / "module.py").write_text("a = 1\n")
    monkeypatch.setattr(exports, "quick_export", quick_export)
    monkeypatch.setattr(exports, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(exports, "SOURCES", [source])
    monkeypatch.setattr(exports, "sources_digest", exports.sources_digest.__wrapped__)
    return requests


def test_the_same_export_is_made_once_and_lies_where_it_was_asked_for(made, tmp_path):
    first, second = (exports.export("xxs", tmp_path / name, fp16=True) for name in "ab")
    assert len(made) == 1
    assert first.onnx_path == str(tmp_path / "a" / "xxs.onnx") and second.onnx_path == str(tmp_path / "b" / "xxs.onnx")
    Path(first.onnx_path).write_bytes(b"changed by a test")
    third = exports.export("xxs", tmp_path / "c", fp16=True)
    assert Path(second.onnx_path).read_bytes() == Path(third.onnx_path).read_bytes() == b"graph 1"


def test_another_option_source_or_weights_make_another_export(made, tmp_path):
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"one")
    options = {"fp16": True, "weights": str(weights)}
    exports.export("xxs", tmp_path / "out", **options)
    exports.export("xs", tmp_path / "out", **options)
    exports.export("xxs", tmp_path / "out", **{**options, "image_size": 64})
    weights.write_bytes(b"two")
    exports.export("xxs", tmp_path / "out", **options)
    (tmp_path / "source" / "module.py").write_text("a = 2\n")
    exports.export("xxs", tmp_path / "out", **options)
    (tmp_path / "source" / "module.py").rename(tmp_path / "source" / "other.py")
    exports.export("xxs", tmp_path / "out", **options)
    assert len(made) == 6
    exports.export("xxs", tmp_path / "out", **options)
    assert len(made) == 6


def test_exports_of_old_code_are_dropped(made, tmp_path):
    for number in range(4):
        (tmp_path / "source" / "module.py").write_text("a = {}\n".format(number))
        exports.export("xxs", tmp_path / "out")
    assert len(list((tmp_path / "cache").iterdir())) == exports.KEPT_STATES
    exports.export("xxs", tmp_path / "out")
    assert len(made) == 4
