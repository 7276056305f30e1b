"""What the ONNX parser of each TensorRT release is documented to accept: the shipped table, by release.

Documents exist for some releases only. Any other is judged by the newest documented one that is not newer,
so that a verdict never promises what a release lacks; `Release.documented_as` says which that was.
"""
import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from onnx import TensorProto

from edgenext_deploy import data
from edgenext_deploy.errors import UsageError

_RTX = "rtx-"
# TensorRT-RTX 1.7 carries the parser of the TensorRT 11.4 time; rules with a version see it as that.
_RTX_AS = (11, 4)
# ONNX element types that convertDtype of onnx-tensorrt knows, and the release from which it does.
_TYPES_SINCE: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.INT32,
                     TensorProto.INT64, TensorProto.BOOL), (0,)),
    TensorProto.UINT8: (8, 5), TensorProto.BFLOAT16: (9, 0), TensorProto.FLOAT8E4M3FN: (9, 0),
    TensorProto.INT4: (10, 0), TensorProto.FLOAT4E2M1: (10, 8),
}


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator in one release.

    Attributes:
        types: documented tensor types; empty: not documented.
        notes: documented restrictions.
        refused: tensor types that the parser was seen to refuse.
        unbuilt: tensor types that the parser took and the builder refused, in a network of that operator alone.
    """

    types: frozenset[str]
    notes: str
    refused: frozenset[str] = frozenset()
    unbuilt: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Release:
    """One TensorRT release and what is known of its ONNX parser.

    Attributes:
        name: as asked for, ``8.5.2``.
        documented_as: the release of the table that it is judged by, ``8.5``.
        version: `name` as numbers, ``(8, 5, 2)``, for rules that hold from some version on.
        min_opset: lowest ai.onnx opset, None where no limit is known. 8.x and 9.x only warn below it.
        max_opset: highest documented ai.onnx opset, None where no limit is known.
        ir_version: of the parser's onnx package, None where not known.
        operators: ai.onnx operators by name.
        importer_only: operators that the source has and the document does not list.
        source: where the knowledge comes from.
    """

    name: str
    documented_as: str
    version: tuple[int, ...]
    min_opset: int | None
    max_opset: int | None
    ir_version: int | None
    operators: Mapping[str, Operator]
    importer_only: frozenset[str]
    source: str

    @property
    def is_rtx(self) -> bool:
        """Whether it is a TensorRT-RTX, whose parser was asked."""
        return self.name.startswith(_RTX)

    def has_type(self, element_type: int) -> bool:
        """Whether there is a tensor type for a ``TensorProto`` element type; 8.x narrows INT64, all narrow FP64."""
        since = _TYPES_SINCE.get(element_type)
        return since is not None and self.version >= since

    @property
    def exact(self) -> bool:
        """Whether the release itself is documented; otherwise an older one stands for it."""
        # The document of 11.x is about every 11; that of 10.1 is about 10.1.x, not about 10.13.
        family = self.documented_as[:-1] if self.documented_as.endswith(".x") else self.documented_as + "."
        return self.name == self.documented_as or self.name.startswith(family)

    def before(self, *version: int) -> bool:
        """Whether the release is older than `version`; ``before(10)`` is true of 9.3."""
        return self.version < version


@functools.lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return data.read_json("trt_operators.json")


@functools.lru_cache(maxsize=1)
def documented_releases() -> tuple[str, ...]:
    """Return the releases of the table, oldest first, TensorRT-RTX last."""
    return tuple(_table()["releases"])


@functools.lru_cache(maxsize=64)
def get_release(name: str) -> Release:
    """Return what is known of a release such as ``8.2``, ``8.5.2``, ``10.13``, ``11.x`` or ``rtx-1.7``.

    Raises:
        UsageError: not a release number, or older than everything documented.
    """
    version = _version(name)
    older = [row for row in documented_releases()
             if row.startswith(_RTX) == name.startswith(_RTX) and _row_version(row) <= version]
    if not older:
        raise UsageError(f"TensorRT {name} is older than every documented release",
                         "choose one of: " + ", ".join(documented_releases()))
    row = older[-1]
    facts = _table()["releases"][row]
    return Release(
        name=name, documented_as=row, version=_RTX_AS if name.startswith(_RTX) else version,
        min_opset=facts["min_opset"], max_opset=facts["max_opset"], ir_version=facts["ir_version"],
        operators=_operators(row), importer_only=frozenset(facts["importer_only"]), source=facts["source"])


def type_since(element_type: int) -> str:
    """Return the release that brought a ``TensorProto`` element type, empty if none did."""
    return ".".join(map(str, _TYPES_SINCE.get(element_type, ())))


def first_release_with(op: str) -> str | None:
    """Return the oldest documented release that accepts `op`, None if none does."""
    return next((row for row in documented_releases() if op in _operators(row)), None)


@functools.lru_cache(maxsize=16)
def _operators(row: str) -> Mapping[str, Operator]:
    """Read the history of every operator up to `row`: an entry holds until the next one listed."""
    upto = documented_releases()[: documented_releases().index(row) + 1]
    found = {}
    for op, history in _table()["operators"].items():
        entry = next((history[release] for release in reversed(upto) if release in history), None)
        if entry is not None:
            types, refused, unbuilt = (frozenset(entry.get(key, "").split()) for key in ("types", "refused", "unbuilt"))
            found[op] = Operator(types, entry.get("notes", ""), refused, unbuilt)
    return found


def _version(name: str) -> tuple[int, ...]:
    if not re.fullmatch(r"(rtx-)?\d+\.(x|\d+(\.\d+)*)", name):
        raise UsageError(f"{name!r} is not a TensorRT release", "write it as 8.2, 10.13.3, 11.x or rtx-1.7")
    numbers = name[len(_RTX):] if name.startswith(_RTX) else name
    # 11.x stands for all of 11: what only a later one has is not counted on.
    return tuple(0 if part == "x" else int(part) for part in numbers.split("."))


_row_version = functools.lru_cache(maxsize=16)(_version)
