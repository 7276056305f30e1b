"""What an exported graph asks of a device: operations, bytes and kernels, stage by stage.

A kernel here is what one launch can do on a GPU that fuses as TensorRT does: a convolution, matrix product or
reduction by itself, and neighbouring element-wise nodes together wherever no such barrier lies between them. Real
builders fuse somewhat more or less; that is part of what the calibration of estimates absorbs.
"""
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown
from edgenext_deploy.node_names import OTHER, kind_of, part_of
from edgenext_deploy.node_work import COUNTED, RECURRENT, multiply_adds, product

_REDUCTIONS = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSumExp", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "Softmax", "LogSoftmax",
    "LayerNormalization", "GroupNormalization", "InstanceNormalization", "RMSNormalization", "LpNormalization",
    "ArgMax", "ArgMin", "Resize", "NonMaxSuppression", "TopK")
_COPIES = ("Transpose", "Concat", "Pad", "Slice", "Gather", "Expand", "Tile", "DepthToSpace", "SpaceToDepth",
           "GatherElements", "GatherND", "ScatterElements", "ScatterND")
_ELEMENTWISE = (
    "Abs", "Add", "And", "BatchNormalization", "Ceil", "Celu", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp",
    "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "LeakyRelu", "Less", "LessOrEqual", "Log",
    "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round",
    "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "Where", "Xor")
# Views: another shape on the same memory.
_FREE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast")
# Known once the shapes are fixed: no builder leaves them to the device.
_CONSTANT = ("Constant", "Shape", "Size", "ConstantOfShape", "Range")
_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
# What one launch does by itself.
_PRODUCTS = tuple(operator for operator in COUNTED if operator not in RECURRENT)
_BARRIERS = (*_PRODUCTS, *_REDUCTIONS, *_COPIES, "Split")
_KNOWN = frozenset((*_BARRIERS, *_ELEMENTWISE, *_FREE, *_CONSTANT))
_FIX_FOREIGN = "edgenext-export adopt FILE.onnx fixes the shapes and folds what it can; give the file that it writes"
_FIX_UNKNOWN = "measure the network on the device: edgenext-bench FILE.onnx"


class Kernel(NamedTuple):
    """One launch.

    Attributes:
        name: name of its first node.
        stage: part of the network, as `node_names.part_of` has it.
        kind: one of `node_names.KINDS`.
        multiply_adds: multiply-adds of convolutions and matrix products.
        other_operations: element-wise and reducing operations, one per element.
        elements_read: elements of activations that are read.
        elements_written: elements of activations that are written.
        parameters: number of weights that are read.
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
        kernels: its kernels, in order.
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


def work_of(graph: Any, path: str = "graph") -> Tuple[StageWork, ...]:
    """Return the work of an ONNX graph whose shapes were inferred, by stage, in the order of the graph.

    Args:
        graph: an ``onnx.GraphProto``.
        path: of its file, for messages.

    Raises:
        BadInputError: shapes that are not fixed, control flow, or an operator whose work is not known here; the message
            names the node.
    """
    return _Reader(graph, path).stages()


class _Launch:
    """The nodes of one kernel, while kernels are put together.

    Attributes:
        nodes: the nodes, in the order of the graph.
        elementwise: further element-wise nodes may join.
        level: number of barriers on the longest way to its outputs, itself included.
        stage: part of the network, by the first node's name.
    """

    def __init__(self, first: Any, elementwise: bool, level: int) -> None:
        self.nodes = [first]
        self.elementwise, self.level = elementwise, level
        part = part_of(first.name)
        self.stage = OTHER if part is None else part.stage


class _Reader:
    """Puts the nodes of a graph together as kernels, and counts what each does.

    A view (`_FREE`) makes no tensor: what takes it is said to take the tensor behind it.
    """

    def __init__(self, graph: Any, path: str) -> None:
        self._path = path
        self._graph = graph
        # Weights, and what is computed from them and from shapes alone.
        self._parameters = {tensor.name for tensor in graph.initializer}
        self._shapes: Dict[str, Tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):  # without one it would pass for a scalar
                self._shapes[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        self._makers = {tensor: node for node in graph.node for tensor in node.output if tensor}
        self._behind: Dict[str, str] = {}
        self._made_by: Dict[str, _Launch] = {}
        self._launches: List[_Launch] = []
        for node in graph.node:
            self._add(node)
        self._outputs = {self._source(value.name) for value in graph.output}
        self._takers = self._find_takers()

    def stages(self) -> Tuple[StageWork, ...]:
        """Return the work by stage, in the order of the graph."""
        return tuple(map(self._stage, dict.fromkeys(launch.stage for launch in self._launches)))

    def _add(self, node: Any) -> None:
        """Give a node to the kernel that does it, a new one if need be."""
        if node.op_type not in _KNOWN or node.domain not in ("", "ai.onnx"):
            control = node.op_type in _CONTROL_FLOW and not node.domain
            raise BadInputError("{}: node {} cannot be estimated: {}".format(
                self._path, _title(node), "control flow" if control else
                "it is not known here how much work this operator is"), _FIX_FOREIGN if control else _FIX_UNKNOWN)
        activations = [tensor for tensor in map(self._source, node.input) if tensor and tensor not in self._parameters]
        made = [tensor for tensor in node.output if tensor]
        if node.op_type in _CONSTANT or not activations:
            self._parameters.update(made)
            return
        if node.op_type in _FREE:
            self._behind.update(dict.fromkeys(made, activations[0]))
            return
        makers = [self._made_by[tensor] for tensor in activations if tensor in self._made_by]
        level = max([maker.level for maker in makers] or [0])
        elementwise = node.op_type not in _BARRIERS
        # An element-wise node of another level would wait for a barrier that waits for this kernel.
        launch = next((maker for maker in makers if elementwise and maker.elementwise and maker.level == level), None)
        if launch is None:
            launch = _Launch(node, elementwise, level if elementwise else level + 1)
            self._launches.append(launch)
        else:
            launch.nodes.append(node)
        self._made_by.update(dict.fromkeys(made, launch))

    def _find_takers(self) -> Dict[str, Set[Optional[_Launch]]]:
        """Return the kernels that take each tensor; None stands for a view."""
        takers: Dict[str, Set[Optional[_Launch]]] = {}
        for node in self._graph.node:
            launch = self._made_by.get(node.output[0])
            for tensor in map(self._source, node.input):
                takers.setdefault(tensor, set()).add(launch)
        return takers

    def _stage(self, name: str) -> StageWork:
        entering: Set[str] = set()
        leaving = {tensor for tensor in self._outputs if self._stage_that_makes(tensor) == name}
        for tensor, takers in self._takers.items():
            if not tensor or tensor in self._parameters:
                continue
            stages = {launch.stage for launch in takers if launch is not None}
            made_here = self._stage_that_makes(tensor) == name
            if made_here and stages - {name}:
                leaving.add(tensor)
            elif not made_here and name in stages:
                entering.add(tensor)
        return StageWork(name, tuple(self._kernel(launch) for launch in self._launches if launch.stage == name),
                         sum(map(self._size, entering)), sum(map(self._size, leaving)))

    def _stage_that_makes(self, tensor: str) -> Optional[str]:
        """Return the stage of the kernel that makes a tensor; None for an input of the network."""
        return self._made_by[tensor].stage if tensor in self._made_by else None

    def _kernel(self, launch: _Launch) -> Kernel:
        made = {tensor for node in launch.nodes for tensor in node.output if tensor}
        taken = {tensor for node in launch.nodes for tensor in map(self._source, node.input) if tensor} - made
        written = {tensor for tensor in made if tensor in self._outputs or self._takers.get(tensor, set()) - {launch}}
        first = launch.nodes[0]
        return Kernel(
            first.name, launch.stage, kind_of(first.name, first.op_type),
            sum(map(self._multiply_adds, launch.nodes)), sum(map(self._other_operations, launch.nodes)),
            sum(self._size(tensor) for tensor in taken if tensor not in self._parameters),
            sum(map(self._size, written)),
            sum(self._size(tensor) for tensor in taken if tensor in self._parameters))

    def _multiply_adds(self, node: Any) -> int:
        if node.op_type not in _PRODUCTS:
            return 0
        attributes = {attribute.name: _value(attribute) for attribute in node.attribute}
        return multiply_adds(node.op_type, [self._shape(name) if name else () for name in node.input],
                             self._shape(next(filter(None, node.output))), attributes)

    def _other_operations(self, node: Any) -> int:
        if node.op_type in (*_PRODUCTS, *_COPIES, "Split"):
            return 0
        return max(self._size(tensor) for tensor in [*node.input, *node.output] if tensor)

    def _source(self, tensor: str) -> str:
        """Return the tensor that a view is a view of."""
        return self._behind.get(tensor, tensor)

    def _size(self, tensor: str) -> int:
        return product(self._shape(tensor))

    def _shape(self, tensor: str) -> Tuple[int, ...]:
        shape: Optional[Tuple[int, ...]] = self._shapes.get(tensor)
        if shape is None or any(size < 1 for size in shape):
            maker = self._makers.get(tensor)
            raise BadInputError("{}: {} has no fixed shape: {}".format(
                self._path, "input {!r}".format(shown(tensor)) if maker is None else "output {!r} of node {}".format(
                    shown(tensor), _title(maker)),
                "unknown" if shape is None else [size or "?" for size in shape]), _FIX_FOREIGN)
        return shape


def _value(attribute: Any) -> Any:
    """Return the value of an ONNX attribute, a number, text or a list of them; None for tensors and graphs."""
    fields = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}  # by AttributeProto.type
    if attribute.type not in fields:
        return None
    value = getattr(attribute, fields[attribute.type])
    return value if attribute.type < 6 else list(value)


def _title(node: Any) -> str:
    """Return a node's name, or that of its first output, and its operator."""
    name = node.name or (node.output[0] if node.output else "")
    return "{!r} ({})".format(shown(name), shown(".".join(filter(None, (node.domain, node.op_type)))))

