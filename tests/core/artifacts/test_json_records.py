import json
import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

import pytest
from sweeps import examples

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError


class Inner(NamedTuple):
    name: str
    sizes: Tuple[int, ...]


class Outer(NamedTuple):
    count: int
    ratio: float
    flag: bool
    inner: Inner
    many: Tuple[Inner, ...]
    numbers: Dict[str, float]
    anything: Any
    maybe: Optional[str] = None
    optional_record: Optional[Inner] = None


VALUE = Outer(3, 0.1, True, Inner("größe", (1, 2)), (Inner("a", ()), Inner("b", (5,))), {"x": 1.5},
              {"k": [1, None]}, "text", Inner("c", (7,)))


def parsed(**changes):
    data = json.loads(json_records.dump(VALUE).decode("utf-8"))
    data.update(changes)
    return data


def read(data):
    return json_records.from_json(Outer, data, "file.json")


def test_dump_and_from_json_are_inverse():
    assert read(parsed()) == VALUE
    assert isinstance(read(parsed()).many[1], Inner) and isinstance(read(parsed()).inner.sizes, tuple)


def test_equal_records_give_equal_readable_bytes():
    data = json_records.dump(VALUE)
    assert data == json_records.dump(VALUE._replace(count=3)) and data.endswith(b"}\n")
    assert "größe".encode("utf-8") in data and data.splitlines()[1] == b'  "count": 3,'
    assert json_records.dump(VALUE._replace(count=4)) != data


def test_a_whole_number_is_a_float_but_not_the_other_way_round():
    found = read(parsed(ratio=2)).ratio
    assert found == 2.0 and isinstance(found, float)
    with pytest.raises(BadInputError, match=r"file.json.count: expected int, found float \(2.0\)"):
        read(parsed(count=2.0))


def test_defaults_fill_what_is_missing_and_unknown_fields_are_ignored():
    data = parsed(from_the_future=1)
    del data["maybe"], data["optional_record"]
    assert read(data) == VALUE._replace(maybe=None, optional_record=None)
    assert read(parsed(maybe=None)).maybe is None


@pytest.mark.parametrize("changes, message", [
    ({"count": "3"}, "file.json.count: expected int, found str"),
    ({"count": True}, "file.json.count: expected int, found bool"),
    ({"count": None}, "file.json.count: expected int, found NoneType"),
    ({"flag": 1}, "file.json.flag: expected bool, found int"),
    ({"ratio": "0.1"}, "file.json.ratio: expected float, found str"),
    ({"ratio": False}, "file.json.ratio: expected float, found bool"),
    ({"ratio": 10**400}, "file.json.ratio: expected a finite number, found int"),
    ({"ratio": float("nan")}, "file.json.ratio: expected a finite number, found float"),
    ({"ratio": float("-inf")}, "file.json.ratio: expected a finite number, found float"),
    ({"inner": []}, "file.json.inner: expected an object, found list"),
    ({"inner": {"name": "x"}}, "file.json.inner: field 'sizes' is missing"),
    ({"inner": {"name": "x", "sizes": [1, "2"]}}, r"file.json.inner.sizes\[1\]: expected int, found str"),
    ({"many": {}}, "file.json.many: expected a list, found dict"),
    ({"many": [{"name": 1, "sizes": []}]}, r"file.json.many\[0\].name: expected str, found int"),
    ({"numbers": []}, "file.json.numbers: expected an object, found list"),
    ({"numbers": {"x": "y"}}, "file.json.numbers.x: expected float, found str"),
    ({"maybe": 5}, "file.json.maybe: expected str, found int"),
    ({"optional_record": 5}, "file.json.optional_record: expected an object, found int"),
])
def test_another_type_is_bad_input_naming_the_field(changes, message):
    with pytest.raises(BadInputError, match=message) as caught:
        read(parsed(**changes))
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["count", "ratio", "flag", "inner", "many", "numbers", "anything"])
def test_a_missing_field_is_named(name):
    data = parsed()
    del data[name]
    with pytest.raises(BadInputError, match="file.json: field '{}' is missing".format(name)):
        read(data)


@pytest.mark.parametrize("data", [None, 1, "text", [], [{}]])
def test_anything_but_an_object_is_bad_input(data):
    with pytest.raises(BadInputError, match="expected an object"):
        read(data)


def test_what_no_reader_accepts_is_not_written():
    with pytest.raises(ValueError):
        json_records.dump(VALUE._replace(ratio=float("nan")))


def test_any_json_gives_a_record_or_bad_input():
    hypothesis = pytest.importorskip("hypothesis")
    strategies = pytest.importorskip("hypothesis.strategies")
    leaf = strategies.sampled_from([None, True, 0, -7, 10**400, 1.5, float("nan"), "", "x", [], {}])
    value = leaf | strategies.lists(leaf, max_size=2) | strategies.fixed_dictionaries(
        {"name": leaf, "sizes": leaf | strategies.lists(leaf, max_size=2)})
    value = value | strategies.lists(value, max_size=2)

    @hypothesis.settings(max_examples=examples(200), deadline=None, derandomize=True)
    @hypothesis.given(strategies.dictionaries(strategies.sampled_from(Outer._fields), value, max_size=2))
    def check(changes):
        try:
            found = read(parsed(**changes))
        except BadInputError:
            return
        assert type(found.count) is int and type(found.ratio) is float and type(found.flag) is bool
        assert all(type(size) is int for item in found.many for size in item.sizes)

    check()


@pytest.mark.parametrize(("content", "message"), [
    (b"", "thing is empty"), (b"{", "not a thing"), (b"\xff", "not a thing"), (b"[" * 100000, "not a thing"),
    (b'{"a": NaN}', "not a thing: NaN is not JSON"), (b'{"a": 1, "a": 2}', "a field that comes twice"),
    (b'{"a": ' + b"9" * 100000 + b"}", "a number of 100000 digits"), (b"[1]", "list found, an object expected"),
    (b'{"text": "0123456789012345678901234567890"}', "too large for a thing"),
], ids=lambda value: repr(value)[:20])
def test_a_file_that_holds_no_object_is_bad_input_with_the_command_that_helps(tmp_path, content, message):
    path = tmp_path / "thing.json"
    path.write_bytes(content)
    most_bytes = 40 if b"text" in content else 1000000
    with pytest.raises(BadInputError, match=message) as caught:
        json_records.read_file(str(path), "thing", "make the thing", most_bytes)
    assert "make the thing" in str(caught.value) and str(path) in str(caught.value)


def test_a_file_with_an_object_is_read(tmp_path):
    path = tmp_path / "thing.json"
    path.write_bytes(json_records.dump(VALUE))
    content = json_records.read_file(str(path), "thing", "make the thing", 10000)
    assert json_records.from_json(Outer, content, "thing") == VALUE


def test_a_file_name_of_another_encoding_is_written_and_read_again():
    name = os.fsdecode(b"n\xff\xfe.onnx")
    assert json_records.parse(json_records.dump({"path": name}).decode("utf-8")) == {"path": name}
