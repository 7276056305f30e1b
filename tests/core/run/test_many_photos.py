"""edgenext-run on very many photos: memory does not grow with their number. EDGENEXT_PHOTOS says how many."""
import os
import subprocess
import sys

import pytest
from paths import CAT, ROOT, TINY
from PIL import Image

pytest.importorskip("onnxruntime")
SAMPLES = 10
# ext4 takes 65,000 names for one file.
MOST_NAMES = 50000


@pytest.mark.sweep
def test_memory_stays_flat(tmp_path):
    count = int(os.environ.get("EDGENEXT_PHOTOS", "20000"))
    (tmp_path / "photos").mkdir()
    for index in range(count):
        small = str(tmp_path / "small{}.jpg".format(index // MOST_NAMES))
        if index % MOST_NAMES == 0:
            Image.open(CAT).resize((96, 64)).save(small)
        os.link(small, str(tmp_path / "photos" / "{:06d}.jpg".format(index)))
    process = subprocess.Popen(
        [sys.executable, "-m", "edgenext_deploy.run.cli", "--json-file", str(tmp_path / "seen.json"), "--threads", "1",
         TINY, str(tmp_path / "photos")], cwd=ROOT, stdout=subprocess.PIPE, universal_newlines=True)
    seen, memory = 0, []
    for line in process.stdout:
        if line.startswith("preprocess"):
            seen += 1
            if seen % (count // SAMPLES) == 0:
                with open("/proc/{}/statm".format(process.pid)) as stream:
                    memory.append(int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
    assert process.wait() == 0 and seen == count
    print("MB after each {} photos: {}".format(count // SAMPLES, memory))  # noqa: T201 - pytest -s shows it
    assert max(memory[SAMPLES // 2:]) - max(memory[:SAMPLES // 2]) < 4.0, memory
