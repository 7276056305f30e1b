"""What the tests of edgenext-run share."""
import json
import os
import shutil

import pytest
from paths import DATA

TINY = os.path.join(DATA, "tiny_classifier.onnx")


@pytest.fixture
def random_engine(tmp_path):
    """The tiny classifier, as if its weights were random."""
    engine = str(tmp_path / "random.onnx")
    shutil.copyfile(TINY, engine)
    with open(os.path.splitext(TINY)[0] + ".json") as stream:
        data = json.load(stream)
    data["weights"]["random"] = True
    (tmp_path / "random.json").write_text(json.dumps(data))
    return engine
