"""What an exported graph asks of a device: operations, bytes and kernels, stage by stage.

A kernel here is what one launch can do on a GPU that fuses as TensorRT does: a convolution, matrix product or
reduction by itself, and neighbouring element-wise nodes together wherever no such barrier lies between them. Real
builders fuse somewhat more or less; that is part of what `calibration` absorbs.
"""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.files import require_file
from edgenext_deploy.node_names import OTHER, kind_of, part_of
from edgenext_deploy.node_work import COUNTED, multiply_adds, product

_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "GlobalAveragePool", "AveragePool", "MaxPool",
               "Softmax", "LayerNormalization", "ArgMax", "Resize", "NonMaxSuppression", "TopK")
_COPIES = ("Transpose", "Concat", "Pad", "Slice", "Gather", "Expand")
# Views: another shape on the same memory.
_FREE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant", "Dropout", "Shape", "Cast")
_FIX = "give an .onnx file of edgenext-export"


class Kernel(NamedTuple):
    """One launch.

    Attributes:
        name: of its first node.
        stage: part of the network, as `node_names.part_of` has it.
        kind: one of `node_names.KINDS`.
        multiply_adds: of convolutions and matrix products.
        other_operations: element-wise and reducing operations, one per element.
        elements_read: of activations.
        elements_written: of activations.
        parameters: weights read.
    """

    name: str
    stage: str
    kind: str
    multiply_adds: int
    other_operations: int
    elements_read: int
    elements_written: int
    parameters: int

    @property
    def operations(self) -> int:
        """Floating-point operations: two for a multiply-add."""
        return 2 * self.multiply_adds + self.other_operations

    @property
    def elements(self) -> int:
        """Elements that pass between the kernel and memory."""
        return self.elements_read + self.elements_written + self.parameters


class StageWork(NamedTuple):
    """A part of the network.

    Attributes:
        stage: its name.
        kernels: in order.
        elements_in: activations that enter it, those of the network's input among them.
        elements_out: activations that leave it.
    """

    stage: str
    kernels: Tuple[Kernel, ...]
    elements_in: int
    elements_out: int

    @property
    def parameters(self) -> int:
        """Weights of all its kernels."""
        return sum(kernel.parameters for kernel in self.kernels)


def read_work(path: str) -> Tuple[StageWork, ...]:
    """Return the work of an ONNX file by stage, in the order of the graph.

    Raises:
        BadInputError: no such file, not ONNX, or shapes that are not fixed.
        MissingRuntimeError: the library ``onnx`` is not installed.
    """
    require_file(path, "ONNX file", "export one with edgenext-export")
    try:
        import onnx
    except ImportError as error:
        raise MissingRuntimeError("reading a graph needs the library onnx: {}".format(error),
                                  "on a workstation: python3 -m pip install onnx") from error
    try:
        # Shapes alone are wanted, so one that contradicts itself is found below as one that is missing.
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
    except Exception as error:  # protobuf's and onnx's exceptions have no common base below Exception
        raise BadInputError("{}: not a valid ONNX file: {}".format(path, " ".join(str(error).split())[:200]),
                            _FIX) from error
    return work_of(model.graph, path)


def work_of(graph: Any, path: str = "graph") -> Tuple[StageWork, ...]:
    """Return the work of a graph whose shapes were inferred; see `read_work`."""
    return _Reader(graph, path).stages()


class _Reader:
    def __init__(self, graph: Any, path: str) -> None:
        self._path = path
        self._graph = graph
        self._parameters = {tensor.name: product(tensor.dims) for tensor in graph.initializer}
        self._shapes: Dict[str, Tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            self._shapes[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        self._sources: Dict[str, str] = {}
        self._levels: Dict[str, int] = {}
        for node in graph.node:
            if node.op_type == "Constant":
                self._parameters[node.output[0]] = product(self._shapes.get(node.output[0], ()))

    def stages(self) -> Tuple[StageWork, ...]:
        groups, self._group_of = self._fuse()
        kernels = [self._kernel(nodes) for nodes in groups]
        names = list(dict.fromkeys(kernel.stage for kernel in kernels))
        stage_of_group = [kernel.stage for kernel in kernels]
        return tuple(self._stage(name, kernels, stage_of_group) for name in names)

    def _stage(self, name: str, kernels: Sequence[Kernel], stage_of_group: Sequence[str]) -> StageWork:
        entering, leaving = set(), set()
        made_in: Dict[str, str] = {}
        outputs = self._outputs()
        for node in self._graph.node:
            stage = stage_of_group[self._group_of[node.output[0]]] if node.output[0] in self._group_of else None
            for tensor in map(self._source, node.input):
                if stage is None or tensor in self._parameters or not tensor:
                    continue
                maker = made_in.get(tensor)
                if stage == name and maker != name:
                    entering.add(tensor)
                elif stage != name and maker == name:
                    leaving.add(tensor)
            for tensor in node.output:
                if stage is not None:
                    made_in[tensor] = stage
                if stage == name and tensor in outputs:
                    leaving.add(tensor)
        return StageWork(name, tuple(kernel for kernel in kernels if kernel.stage == name),
                         sum(map(self._size, entering)), sum(map(self._size, leaving)))

    def _fuse(self) -> Tuple[List[List[Any]], Dict[str, int]]:
        """Return the nodes of every kernel, and the number of the kernel that makes each tensor."""
        groups: List[List[Any]] = []
        group_of: Dict[str, int] = {}
        fused: Dict[int, bool] = {}
        for node in self._graph.node:
            inputs = [self._source(tensor) for tensor in node.input if tensor]
            active = [tensor for tensor in inputs if tensor not in self._parameters]
            if node.op_type in _FREE:
                for tensor in node.output:
                    if active:
                        self._sources[tensor] = active[0]
                continue
            barrier = node.op_type in COUNTED + _REDUCTIONS + _COPIES + ("Split",)
            # The number of barriers on the longest way here: element-wise neighbours with the same one can fuse,
            # others would wait for a barrier that waits for them.
            level = max([self._levels.get(tensor, 0) for tensor in active] or [0])
            number = None if barrier else next(
                (group_of[tensor] for tensor in active if tensor in group_of and fused[group_of[tensor]]
                 and self._levels[tensor] == level), None)
            if number is None:
                number = len(groups)
                groups.append([])
                fused[number] = not barrier
            groups[number].append(node)
            for tensor in node.output:
                group_of[tensor] = number
                self._levels[tensor] = level + (1 if barrier else 0)
        return groups, group_of

    def _kernel(self, nodes: Sequence[Any]) -> Kernel:
        made = {tensor for node in nodes for tensor in node.output}
        taken: Set[str] = set()
        used_elsewhere = self._outputs()
        for node in self._graph.node:
            inside = node.output[0] in made
            for tensor in map(self._source, node.input):
                if inside and tensor not in made and tensor:
                    taken.add(tensor)
                elif not inside and tensor in made:
                    used_elsewhere.add(tensor)
        written = made & used_elsewhere
        first = nodes[0]
        part = part_of(first.name)
        return Kernel(
            first.name, OTHER if part is None else part.stage, kind_of(first.name, first.op_type),
            sum(self._multiply_adds(node) for node in nodes), sum(self._other_operations(node) for node in nodes),
            sum(self._size(tensor) for tensor in taken if tensor not in self._parameters),
            sum(map(self._size, written)),
            sum(self._parameters[tensor] for tensor in taken if tensor in self._parameters))

    def _multiply_adds(self, node: Any) -> int:
        if node.op_type not in COUNTED:
            return 0
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return multiply_adds(node.op_type, [self._shape(name) for name in node.input[:2]], self._shape(node.output[0]),
                             transposed)

    def _other_operations(self, node: Any) -> int:
        if node.op_type in COUNTED + _COPIES + ("Split",):
            return 0
        return max(self._size(tensor) for tensor in [*node.input, *node.output] if tensor)

    def _source(self, tensor: str) -> str:
        """Return the tensor that a view is a view of."""
        return self._sources.get(tensor, tensor)

    def _outputs(self) -> Set[str]:
        """Return what leaves the network: where an output is a view, the tensor behind it."""
        return {self._source(value.name) for value in self._graph.output}

    def _size(self, tensor: str) -> int:
        return product(self._shape(tensor))

    def _shape(self, tensor: str) -> Tuple[int, ...]:
        shape: Optional[Tuple[int, ...]] = self._shapes.get(tensor)
        if shape is None or any(size < 1 for size in shape):
            raise BadInputError("{}: the shape of tensor {!r} is not fixed: {}".format(self._path, tensor, shape),
                                "export it with edgenext-export, which fixes every shape")
        return shape

