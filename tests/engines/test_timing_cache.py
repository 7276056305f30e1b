"""One cache file per TensorRT and GPU; trouble with it is a warning and never an error."""
import os
from unittest import mock

import pytest

from edgenext_deploy.engines import timing_cache
from edgenext_deploy.files import cache_folder


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGENEXT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_where_it_is_kept(monkeypatch, folders):
    assert cache_folder() == str(folders / ".cache" / "edgenext-deploy")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders / "xdg"))
    assert cache_folder() == str(folders / "xdg" / "edgenext-deploy")
    monkeypatch.setenv("EDGENEXT_CACHE", str(folders / "own"))
    assert cache_folder() == str(folders / "own")


def test_one_file_for_each_tensorrt_and_gpu():
    paths = {timing_cache.default_path(version, gpu, capability) for version in ("8.2.1.8", "10.3.0.30")
             for gpu, capability in (("NVIDIA Tegra X1", "5.3"), ("Orin", "8.7"), (None, None))}
    assert len(paths) == 6
    names = {os.path.basename(path) for path in paths}
    assert "tensorrt-8.2.1.8_sm53_NVIDIA-Tegra-X1.cache" in names and "tensorrt-10.3.0.30_sm87_Orin.cache" in names


def test_a_gpus_name_cannot_leave_the_folder():
    path = timing_cache.default_path("8.2", "../../etc/passwd", "5.3")
    assert os.path.dirname(path) == os.path.join(cache_folder(), "timing")


def test_written_and_read(tmp_path):
    path = str(tmp_path / "deep" / "er" / "file.cache")
    assert timing_cache.read(path) == (b"", None)
    assert timing_cache.write(path, b"times") is None
    assert timing_cache.read(path) == (b"times", None)
    assert os.listdir(os.path.dirname(path)) == ["file.cache"]


def test_what_cannot_be_read_is_a_warning(tmp_path):
    content, warning = timing_cache.read(str(tmp_path))
    assert content == b"" and "ignored" in warning
    os.symlink("loop", str(tmp_path / "loop"))
    content, warning = timing_cache.read(str(tmp_path / "loop"))
    assert content == b"" and "ignored" in warning


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge"
    with open(str(path), "wb") as stream:
        stream.truncate(1 << 30)
    content, warning = timing_cache.read(str(path))
    assert content == b"" and "too large" in warning


def test_what_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "not kept" in timing_cache.write(str(tmp_path / "file" / "cache"), b"times")
    assert "not kept" in timing_cache.write(str(tmp_path), b"times")


def test_what_another_user_may_have_made_up_is_ignored(folders, monkeypatch):
    path = str(folders / "cache")
    assert timing_cache.write(path, b"times") is None
    assert timing_cache.read(path) == (b"times", None)
    os.chmod(path, 0o666)
    assert timing_cache.read(path) == (b"", "timing cache {} is ignored: every user may change it".format(path))
    os.chmod(path, 0o644)
    real = os.fstat
    monkeypatch.setattr(timing_cache.os, "fstat", lambda handle: mock.Mock(
        st_mode=real(handle).st_mode, st_uid=os.geteuid() + 1))
    assert timing_cache.read(path) == (b"", "timing cache {} is ignored: it belongs to another user".format(path))
