"""Foreign input of every kind, damaged at random: refused in one line, or read; nothing else, and soon.

A few seconds here, a minute in `make test-all`. A failing input is printed by hypothesis as what was changed.
"""
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweeps import examples
from targets import targets

from edgenext_deploy.errors import EdgeNextError

TARGETS = targets()
IS_SWEEP = examples(5) == 5
LONGEST_MESSAGE = 3000
SLOWEST_S = 10
PIECES = [b"", b"\0", b"\xff" * 4, b"\x80", b"-1", b"9" * 400, b"1e999", b"NaN", b"null", b"\x1b[31m",
          "\u202e²".encode(), b"[" * 3000, b"{", b"\n", b",", b"\"", b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"A" * 5000]
VALUES = [None, True, -1, 0, 1e308, -1e308, 10**19, 2**63, 0.5, "", "x", "\x1b[31m", "A" * 20000, [], [[]], [None], {},
          {"a": 1}, [1e308] * 4]
change = st.tuples(st.sampled_from(["byte", "cut", "insert", "drop", "repeat"]), st.floats(0, 1), st.integers(0, 255),
                   st.sampled_from(PIECES))


def changed(content, kind, where, number, piece):
    at = int(where * len(content))
    if kind == "byte":
        return content[:at] + bytes([number]) + content[at + 1:]
    if kind == "cut":
        return content[:at]
    if kind == "insert":
        return content[:at] + piece + content[at:]
    if kind == "drop":
        return content[:at] + content[at + number:]
    return content[:at] + content[at:at + number] * 3 + content[at + number:]


def places(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*at, key))


def put(value, at, new):
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = put(value[at[0]], at[1:], new)
    return copy


@st.composite
def inputs(draw, target):
    content = draw(st.sampled_from(target.seeds))
    if target.is_json and draw(st.booleans()):
        value = json.loads(content)
        at = draw(st.sampled_from(list(places(value))))
        return json.dumps(put(value, at, draw(st.sampled_from(VALUES)))).encode()
    for made in draw(st.lists(change, min_size=1, max_size=3)):
        content = changed(content, *made)
    return content


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_input(name, tmp_path):
    target = TARGETS[name]
    path = str(tmp_path / ("input.onnx" if name in ("onnx", "verdict") else "input"))
    count = target.examples // (4 if IS_SWEEP else 50) or 1

    @settings(max_examples=count, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(content=inputs(target))
    def run(content):
        with open(path, "wb") as stream:
            stream.write(content)
        start = time.monotonic()
        try:
            target.read(content, path)
        except EdgeNextError as error:
            assert error.exit_code in (2, 3, 4, 5, 6)
            assert len(str(error)) < LONGEST_MESSAGE
            assert "\n" not in error.message
        assert time.monotonic() - start < SLOWEST_S

    run()
