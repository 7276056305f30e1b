"""Plans and sidecars that are damaged, made up or made to hurt: each one clear error, soon, and never accepted."""
import errno
import json
import os
import random
import struct
import tempfile
import time

import pytest
from plan_samples import (
    A100,
    NANO,
    ORIN,
    RECORD,
    changed,
    check_plan,
    contents,
    fields,
    late_plan,
    nano_plan,
    orin_record,
    put,
    read_plan,
    rtx_plan,
    rtx_record,
    written,
)

from edgenext_deploy.artifacts.plan_check import read_header, sidecar_path
from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.files import shown

KINDS = [(nano_plan, RECORD, NANO), (late_plan, orin_record(), ORIN), (rtx_plan, rtx_record(), A100)]
BOTH = [check_plan, read_plan]


def refusal(check, path, machine, trust=False):
    """Return the error that `check` raises, after a look at what a person would see of it."""
    with pytest.raises(EdgeNextError) as caught:
        check(path, machine, trust)
    error = caught.value
    assert isinstance(error, (BadInputError, IncompatibleError, MissingRuntimeError))
    for line in (error.message, error.fix):
        assert line.isprintable() and len(line) < 1200, line
    return error


@pytest.mark.parametrize("make, record, machine", KINDS)
def test_truncated_at_every_tenth_byte(tmp_path, make, record, machine):
    whole = make(size=1500)
    path = written(tmp_path, data=whole, record=record)
    assert check_plan(path, machine)
    alone = str(tmp_path / "alone.plan")
    for length in list(range(0, len(whole), 10)) + list(range(40)) + [len(whole) - 1]:
        for check in BOTH:
            assert refusal(check, put(path, whole[:length]), machine).exit_code == 3
        if length < 28 or make is rtx_plan:  # what no header tells, only a sidecar can
            assert refusal(check_plan, put(alone, whole[:length]), machine, trust=True).exit_code == 3


@pytest.mark.parametrize("make, record, machine", KINDS)
def test_every_bit_of_the_header_and_some_behind(tmp_path, make, record, machine):
    whole = make(size=1500)
    path = written(tmp_path, data=whole, record=record)
    bits = list(range(36 * 8)) + random.Random(1).sample(range(36 * 8, len(whole) * 8), 200)
    for bit in bits:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        put(path, bytes(flipped))
        for check in BOTH:
            assert refusal(check, path, machine).exit_code == 3


@pytest.mark.parametrize("make, machine", [(make, machine) for make, _, machine in KINDS])
def test_a_flipped_header_without_a_sidecar_is_an_answer_and_no_crash(tmp_path, make, machine):
    codes = set()
    for bit in range(36 * 8):
        flipped = bytearray(make(size=1500))
        flipped[bit // 8] ^= 1 << bit % 8
        path = put(tmp_path / "a.plan", bytes(flipped))
        try:
            check_plan(path, machine, trust=True)
            codes.add(0)
        except EdgeNextError as error:
            codes.add(error.exit_code)
    # A serialisation number that is one bit off means nothing, and TensorRT will say so itself.
    assert codes == ({0, 3} if make is nano_plan else {0, 3, 4})


@pytest.mark.parametrize("version", [(10, 3, 0, 31), (10, 13, 3, 9), (8, 6, 1, 6), (11, 4, 0, 106)])
def test_header_of_another_version(tmp_path, version):
    path = written(tmp_path, data=late_plan(), record=orin_record())
    put(path, late_plan(version))
    assert refusal(check_plan, path, ORIN).exit_code == 3  # not what the sidecar describes
    os.unlink(sidecar_path(path))
    error = refusal(check_plan, path, ORIN, trust=True)
    assert error.exit_code == 4 and ".".join(map(str, version)) in error.message


WRONG = [3, -1, 2.5, True, "text", "", "\x1b[2J\n", "\ud800", None, [], [3], ["x"], {}, {"x": 3},
         {"x": ["y", None]}, ...]
# A text of any content is right there; so is any number, or anything at all.
FREE = {"toolkit_version", "onnx_file", "built_at", "race", "file", "platform", "board", "l4t", "jetpack", "tensorrt",
        "tensorrt_rtx", "gpu", "compute_capability", "cuda", "cuda_driver", "driver", "build_seconds",
        "workspace_bytes", "proof", "fp32_pins", "builder_flags", "manifest_sha256", "plugins"}


def test_wrong_types_in_every_field(tmp_path):
    path = written(tmp_path)
    good = json.loads(contents(sidecar_path(path)).decode())
    places = list(fields(good))
    assert len(places) == len(RECORD._fields) + len(RECORD.plan._fields) + len(NANO._fields)
    refused = 0
    for place in places:
        for value in WRONG:
            put(sidecar_path(path), json.dumps(changed(good, place, value)).encode())
            try:
                check_plan(path, NANO)
                # The record is then still the plan's: the digest is one of the fields.
                assert place[-1] in FREE, (place, value)
            except EdgeNextError:
                refusal(check_plan, path, NANO)
                refused += 1
    assert refused > 0.6 * len(places) * len(WRONG)


@pytest.mark.parametrize("place, value", [
    (("schema",), 2), (("schema",), True), (("schema",), "1"), (("schema",), 1.0), (("plan", "bytes"), 0),
    (("plan", "bytes"), -4096), (("plan", "bytes"), 4096.0), (("plan", "sha256"), "A" * 64),
    (("plan", "sha256"), "a" * 65), (("plan", "sha256"), "a" * 63 + "\n"), (("tensorrt",), "8"),
    (("tensorrt",), "8.2.1.8\n"), (("tensorrt",), "\u0668.\u0662"),
    (("tensorrt",), "8." + "9" * 5000), (("compute_capabilities",), []), (("compute_capabilities",), ["5.3", ""]),
    (("flavour",), "tensorflow"), (("precision",), "int8"), (("precision_mode",), "maybe"),
    (("manifest_sha256",), ""), (("onnx_sha256",), "../../etc/passwd"),
])
def test_impossible_values_are_named(tmp_path, place, value):
    path = written(tmp_path)
    good = json.loads(contents(sidecar_path(path)).decode())
    put(sidecar_path(path), json.dumps(changed(good, place, value)).encode())
    error = refusal(check_plan, path, NANO)
    assert error.exit_code == 3
    assert place[0] in error.message


def deep(levels):
    return b'{"schema": 1, "proof": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize("data", [
    b"", b"\0" * 100, b"{", b"[]", b"null", b"1", b'"x"', b"{}", b'{"schema": 1}', b"\xff\xfe{}", b"\xef\xbb\xbf{}",
    b'{"schema": 1, "schema": 1}', b'{"schema": NaN}', b'{"schema": 1e999}', b'{"schema": Infinity}',
    b'{"schema": ' + b"9" * 3000000 + b"}", b'{"schema": -' + b"9" * 3000000 + b"}",
    b'{"schema": "' + b"x" * 3000000 + b'"}',
    b'{"' + b"k" * 3000000 + b'": 1, "schema": 1}', deep(40), deep(900), deep(200000),
    b'{"schema": 1' + b" " * (5 << 20) + b"}", b'{"schema": "\\ud800\\u001b[31m"}', b'{"\\u001b[31m": 1}',
    b'{"schema":2,"toolkit_version":"\\u001b]0;title\\u0007' + b"x" * 5000 + b'"}', contents(__file__),
    nano_plan(), b"PK\x03\x04" + b"\0" * 50,
], ids=lambda data: "{}-{}-bytes".format(data[:12], len(data)))
def test_sidecars_that_are_none(tmp_path, data):
    path = written(tmp_path)
    put(sidecar_path(path), data)
    started = time.process_time()
    assert refusal(check_plan, path, NANO).exit_code == 3
    assert time.process_time() - started < 1


def test_depth_and_keys_inside_a_right_record(tmp_path):
    path = written(tmp_path)
    good = json.loads(contents(sidecar_path(path)).decode())
    nested = []
    for _ in range(400):
        nested = [nested]
    for wrong in ({"proof": {"x": nested}}, {"fp32_pins": {"\x1b[2J\ud800" + "k" * 9000: 3}}):
        put(sidecar_path(path), json.dumps(dict(good, **wrong)).encode())
        assert refusal(check_plan, path, NANO).exit_code == 3


def test_a_field_that_comes_twice(tmp_path):
    path = written(tmp_path)
    text = contents(sidecar_path(path))
    put(sidecar_path(path), text.replace(b'"schema": 1,', b'"schema": 1, "tensorrt": "10.3.0.30",'))
    assert "twice" in refusal(check_plan, path, NANO).message


def test_texts_from_a_sidecar_cannot_steer_the_terminal(tmp_path):
    environment = NANO._replace(gpu="\x1b[2J\ud800" + "G" * 5000, platform="\x07")
    path = written(tmp_path)
    good = json.loads(contents(sidecar_path(path)).decode())
    good["environment"] = dict(environment._asdict())
    put(sidecar_path(path), json.dumps(good).encode())
    error = refusal(check_plan, path, ORIN)
    assert error.exit_code == 4 and r"\x1b[2J\ud800GGG" in error.message
    assert shown("a\tb\u202ec\udcff") == r"a\tb\u202ec\udcff"


def sparse(path, size, head=b""):
    with open(str(path), "wb") as stream:
        stream.write(head)
        stream.truncate(size)
    return str(path)


def peak_kib():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("head", [b"", nano_plan()[:100], late_plan()[:100], rtx_plan()[:100],
                                  struct.pack("<4sIIIQ4B", b"vtrt", 0, 2, 0, 2 << 30, 1, 7, 1, 116)])
@pytest.mark.parametrize("trust", [False, True])
def test_two_sparse_gigabytes(tmp_path, head, trust):
    path = written(tmp_path)
    sparse(path, 2 << 30, head)
    alone = sparse(tmp_path / "alone.plan", 2 << 30, head)
    before, started = peak_kib(), time.process_time()
    for check in BOTH:
        assert refusal(check, path, NANO, trust).exit_code == 3
        assert refusal(check, alone, NANO, trust).exit_code == 3
    assert time.process_time() - started < 1
    assert peak_kib() - before < 64 << 10


def test_a_sidecar_of_two_sparse_gigabytes(tmp_path):
    path = written(tmp_path)
    sparse(sidecar_path(path), 2 << 30, b'{"schema": 1, ')
    before, started = peak_kib(), time.process_time()
    assert "too large" in refusal(check_plan, path, NANO).message
    assert time.process_time() - started < 1
    assert peak_kib() - before < 64 << 10


def links(folder):
    """A path of every kind that is no readable file."""
    os.makedirs(os.path.join(folder, "folder"))
    os.symlink("loop-b", os.path.join(folder, "loop-a"))
    os.symlink("loop-a", os.path.join(folder, "loop-b"))
    os.symlink("nowhere", os.path.join(folder, "dangling"))
    os.mkfifo(os.path.join(folder, "pipe"))
    put(os.path.join(folder, "empty"), b"")
    put(os.path.join(folder, "file"), b"x")
    return [os.path.join(folder, name) for name in (
        "folder", "loop-a", "dangling", "pipe", "empty", "absent", "absent/deeper", "file/below", "n" * 300)
    ] + ["/dev/null", "/dev/zero", "", "null\0character"]


def test_what_is_no_file(tmp_path):
    for path in links(str(tmp_path)):
        for check in BOTH:
            assert refusal(check, path, NANO, True).exit_code == 3, path
        with pytest.raises(BadInputError):
            read_header(path)


def test_sidecars_that_are_no_file(tmp_path):
    path = written(tmp_path)
    for other in links(str(tmp_path)):
        if os.path.basename(other) in os.listdir(str(tmp_path)):
            os.unlink(sidecar_path(path))
            os.symlink(other, sidecar_path(path))
            assert refusal(check_plan, path, NANO, True).exit_code == 3, other


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("victim", ["", ".json"])
def test_a_file_that_cannot_be_read(tmp_path, monkeypatch, number, victim):
    import builtins

    path = written(tmp_path)
    real = open

    def failing(name, *arguments, **options):
        if name == path + victim:
            raise OSError(number, os.strerror(number))
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "open", failing)
    errors = [refusal(check, path, NANO) for check in BOTH]
    monkeypatch.undo()
    assert all(error.exit_code == 3 and os.strerror(number) in error.message for error in errors)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="another user's file needs root to make")
def test_another_users_file():
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    path = written(folder)
    os.chmod(path, 0o600)
    os.seteuid(65534)
    try:
        assert "ermission denied" in refusal(check_plan, path, NANO).message
    finally:
        os.seteuid(0)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
