"""The child process that builds: its request comes as it was given."""
import json
import os

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.engines import build_child, builder
from edgenext_deploy.engines.build_records import BuildRequest
from edgenext_deploy.errors import BadInputError


def test_names_that_are_not_safe_to_show_lead_to_their_files(tmp_path, monkeypatch):
    """Escaped, as foreign records are, they led nowhere."""
    name = os.fsdecode(b"n\xff\x1b[31m\n.onnx")
    request = BuildRequest(name, "tensorrt", "nano", None, None, 1 << 20, timing_cache=name + ".cache")
    (tmp_path / "request.json").write_text(json.dumps(json_records.to_json(request)))
    found = []

    def build(given, progress):
        found.append(given)
        raise BadInputError("enough", "")

    monkeypatch.setattr(builder, "build", build)
    assert build_child._build(str(tmp_path))["message"] == "enough"
    assert found == [request]
