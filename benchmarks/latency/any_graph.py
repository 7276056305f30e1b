"""Any ONNX file, for timing alone: several inputs of any type that numpy has, and sizes given from outside.

An engine with a manifest has one input of a fixed shape. A file from anywhere may have token ids, a mask and a scalar,
and leave sizes open. Latency hardly depends on the values, so they are made here, the same at every run.
"""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from edgenext_deploy.artifacts.engine_file import EngineFile
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.artifacts.manifest_limits import MOST_ELEMENTS
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.node_work import product
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.ort import OnnxRuntimeSession, dtype_of

Shapes = Mapping[str, Sequence[int]]
# A size as ONNX Runtime gives it: a number, the name of an open one, or None for an open one without a name.
_Size = Union[int, str, None]
_SEED = 0
_MOST_INPUTS = 1000
_ANY = -1
_FIX_TYPE = "measure a file whose inputs and outputs are tensors of numbers"


class AnyGraphSession(OnnxRuntimeSession):
    """An ONNX file that nothing describes. `infer_all` takes the first input; the others keep values made at opening.

    The outputs' sizes are -1 where only a run tells them.

    Args:
        engine: what `open_engine_file` made of the file.
        options: see `OnnxRuntimeSession`.
        shapes: shapes of inputs by name, for those whose sizes are open; names of other inputs are left alone.
        profile_prefix: see `OnnxRuntimeSession`.

    Raises:
        UsageError: an input's size is open and `shapes` does not say it, or it contradicts the file.
        BadInputError: no input, no output, one that is no tensor of numbers, or inputs that are too large; otherwise
            see `OnnxRuntimeSession`, as for the other errors.
    """

    def __init__(self, engine: EngineFile, *, options: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
                 shapes: Optional[Shapes] = None, profile_prefix: Optional[str] = None) -> None:
        self._shapes = dict(shapes or {})
        super().__init__(engine, options=options, profile_prefix=profile_prefix)
        self._others = {spec.name: values_for(spec) for spec in self.inputs[1:]}

    def _find_specs(self, session: Any) -> Tuple[Tuple[TensorSpec, ...], Tuple[TensorSpec, ...]]:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if not outputs or not 0 < len(inputs) <= _MOST_INPUTS:
            raise BadInputError("{}: 1 to {} inputs and at least one output expected, {} inputs and {} outputs found"
                                .format(self._path, _MOST_INPUTS, len(inputs), len(outputs)), _FIX_TYPE)
        dtypes = [dtype_of(self._path, side, node) for side, nodes in (("input", inputs), ("output", outputs))
                  for node in nodes]
        fixed, sizes = fixed_shapes(self._path, [(node.name, node.shape) for node in inputs], self._shapes)
        if sizes:
            # ONNX Runtime optimises less where sizes are open.
            outputs = self._open_with(sizes).get_outputs()
        found = [tuple(size if isinstance(size, int) else _ANY for size in node.shape) for node in outputs]
        specs = tuple(TensorSpec(node.name, shape, dtype) for node, shape, dtype in zip(
            [*inputs, *outputs], [*fixed, *found], dtypes))
        return specs[:len(inputs)], specs[len(inputs):]

    def _feed(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        return {**self._others, **super()._feed(image)}

    def _opened_again(self, file: EngineFile, profile_prefix: str) -> OnnxRuntimeSession:
        return AnyGraphSession(file, options=self._options, shapes=self._shapes, profile_prefix=profile_prefix)


def values_for(spec: TensorSpec) -> np.ndarray:
    """Return values for an input, of its shape and dtype, the same on every machine.

    Floats are a picture's noise: 0 to 1 in steps of 1/255. Integers of 8 bits take any value. Wider ones and bools are
    0 or 1, which are token ids, kinds of token, a mask and an index in almost any network; a single value is 1, as it
    may be a count.
    """
    dtype = np.dtype(spec.dtype)
    # numpy 1.13, which JetPack 4 brings, has no numpy.random.default_rng.
    random = np.random.RandomState(_SEED)
    if dtype.kind == "f" or (dtype.itemsize == 1 and dtype.kind in "iu"):
        noise = random.randint(0, 256, size=spec.shape)
        return np.asarray(noise / 255.0 if dtype.kind == "f" else noise).astype(dtype)
    if product(spec.shape) == 1:
        return np.ones(spec.shape, dtype)
    return np.asarray(random.randint(0, 2, size=spec.shape)).astype(dtype)


def fixed_shapes(path: str, inputs: Sequence[Tuple[str, Sequence[_Size]]],
                 shapes: Shapes) -> Tuple[List[Tuple[int, ...]], Dict[str, int]]:
    """Return the inputs' shapes with every size fixed, and the size of each open one that has a name.

    A size that has a name is the same in every input. The first size of an input with at least two is 1 where nothing
    says another: it is the batch.

    Args:
        path: of the file, for messages.
        inputs: name and sizes of each input.
        shapes: shapes from the user by name of input.

    Raises:
        UsageError: a size stays open, or a shape contradicts the file or another shape.
        BadInputError: an input without elements, or more of them than fit into memory.
    """
    sizes: Dict[str, int] = {}
    for name, found in inputs:
        given = shapes.get(name)
        # Of an input without a shape in the file, as of a scalar, ONNX Runtime says []; a run tells them apart.
        if given is not None and len(found) and not _agree(found, given, sizes):
            raise UsageError("{}: --shape gives input {!r} {}, the file has {}".format(
                path, shown(name), _text(given), _text(found)),
                "give sizes for the open ones, and the others as they are")
    for name, found in inputs:
        if name not in shapes and len(found) > 1 and isinstance(found[0], str):
            sizes.setdefault(found[0], 1)
    fixed = []
    for name, found in inputs:
        shape = [sizes.get(size) if isinstance(size, str) else size for size in shapes.get(name, found)]
        if len(shape) > 1 and shape[0] is None:
            shape[0] = 1
        if None in shape:
            raise UsageError("{}: input {!r} has open sizes: {}".format(path, shown(name), _text(found)),
                             "give its shape: --shape {}={}".format(shown(name), "x".join(
                                 "N" if size is None else str(size) for size in shape)))
        fixed.append(tuple(size for size in shape if size is not None))
    elements = sum(map(product, fixed))
    if any(size < 1 for shape in fixed for size in shape) or elements > MOST_ELEMENTS:
        raise BadInputError("{}: inputs of the shapes {}; 1 to {} elements expected".format(
            path, shown(", ".join(map(_text, fixed))), MOST_ELEMENTS),
            "give smaller ones with --shape, or measure another file")
    return fixed, sizes


def _agree(found: Sequence[_Size], given: Sequence[int], sizes: Dict[str, int]) -> bool:
    """Return whether a shape fits the file and the sizes known so far, which learn from it."""
    return len(found) == len(given) and all(
        size is None or (sizes.setdefault(size, here) if isinstance(size, str) else size) == here
        for size, here in zip(found, given))


def _text(shape: Sequence[_Size]) -> str:
    return "[{}]".format(", ".join("?" if size is None else shown(str(size), 60) for size in shape))
