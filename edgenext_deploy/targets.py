"""Where an engine will run, as one table: boards (the hardware) and targets (a board with its software).

Everything that the toolkit knows about a board stands in its entry, and nowhere else. `register_board` and
`register_target` add one; the built-in entries use the same calls.

Sources. TensorRT by JetPack: the meta-tegra recipes (branches kirkstone-l4t-r32.7.x, kirkstone, styhead,
master-l4t-r38). Opset limits: the onnx-tensorrt parser of each release. Models: NVIDIA's device trees, such as
"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"; an AGX Xavier under JetPack 4 is "Jetson-AGX", and
JetPack 5 says "NVIDIA Orin Nano Developer Kit" (rbonghi/jetson_stats#400) and "NVIDIA Orin NX Developer Kit". Rails:
the INA3221 of each carrier board. The opset and formulation of a target are the toolkit's choice; docs/lowering.md
has the reasons.
"""
from typing import Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.errors import UsageError, unknown_name

# Python modules that build plans; see `Target.builder`.
TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"


class Peak(NamedTuple):
    """What a device cannot exceed, for estimates. Nothing here was measured by this toolkit.

    Attributes:
        device: name of the board.
        title: the hardware in the state that the rates are for.
        fp32_flops: floating-point operations a second in FP32. Where there are tensor cores, their rate in TF32:
            TensorRT and cuDNN use it for convolutions and matrix products unless they are told not to.
        fp16_flops: the same in half precision, dense, with tensor cores where there are some.
        memory_bytes_s: bytes a second between GPU and memory.
        cache_bytes: size of the GPU's last-level cache; what fits in it is not moved again.
        launch_us: least time to start a kernel, in microseconds; an assumption.
        source: where the rates come from.
    """

    device: str
    title: str
    fp32_flops: float
    fp16_flops: float
    memory_bytes_s: float
    cache_bytes: int
    launch_us: float
    source: str

    def flops(self, precision: str) -> float:
        """Return the rate of ``fp16`` or ``fp32``."""
        return self.fp16_flops if precision == "fp16" else self.fp32_flops


class Board(NamedTuple):
    """Hardware that can be recognised.

    Attributes:
        name: what ``--device`` takes.
        title: name of the hardware for people.
        compute_capability: compute capability of the GPU, as ``5.3``; empty where there is no GPU.
        aliases: other names that ``--device`` and ``--target`` take.
        target: name of the target that an engine for this board is exported for, where it is not `name`.
        model_words: a Jetson's device-tree model holds all words of one of these, in lower case; empty for a GPU.
        model_without: words that the device-tree model must not hold.
        gpu_word: the driver's name of the GPU holds this word; empty for a Jetson.
        gpu_clock: what the GPU is called under /sys/class/devfreq.
        total_rails: power rails whose sum is the power of the whole module; empty where that is not known.
        full_power_modes: nvpmodel's name of the mode that caps no clock, or its beginning; the first one that the
            board's nvpmodel.conf has counts.
        peak: peak rates, None where they are not known.
    """

    name: str
    title: str
    compute_capability: str
    aliases: Tuple[str, ...] = ()
    target: str = ""
    model_words: Tuple[Tuple[str, ...], ...] = ()
    model_without: Tuple[str, ...] = ()
    gpu_word: str = ""
    gpu_clock: str = ""
    total_rails: Tuple[str, ...] = ()
    full_power_modes: Tuple[str, ...] = ("MAXN",)
    peak: Optional[Peak] = None

    @property
    def shared_memory(self) -> bool:
        """Whether CPU and GPU share the DRAM, as on every Jetson."""
        return bool(self.model_words)

    def is_model(self, model: Optional[str]) -> bool:
        """Return whether a device tree's model is this board's."""
        text = (model or "").lower()
        return (any(all(word in text for word in words) for words in self.model_words)
                and not any(word in text for word in self.model_without))

    def is_gpu(self, name: str) -> bool:
        """Return whether the driver's name of a GPU is this board's."""
        return bool(self.gpu_word) and self.gpu_word in name.replace("-", " ").split()


class Target(NamedTuple):
    """A board with its software.

    Attributes:
        name: what ``--target`` takes.
        title: board or server with its software, for people.
        board: the hardware.
        tensorrt: the TensorRT releases that a file for this target must pass, oldest first.
        opset: ai.onnx opset that is written.
        ir_version: ONNX IR version that is written.
        precision_mode: how ``--fp16`` is done by default, ``flag`` (FP16 builder flag), ``typed`` (FP16 graph)
            or ``none`` (the target runs FP32).
        formulation: name of the form in which a network is written by default, see `formulations.AXES`.
        builder: Python module that builds the plan, `TENSORRT` or `TENSORRT_RTX`; empty where no plan is run.
    """

    name: str
    title: str
    board: Board
    tensorrt: Tuple[str, ...]
    opset: int
    ir_version: int
    precision_mode: str
    formulation: str = "nchw"
    builder: str = TENSORRT

    @property
    def compute_capability(self) -> str:
        """The GPU's, as ``5.3``; empty where there is no GPU."""
        return self.board.compute_capability

    @property
    def has_plugins(self) -> bool:
        """Whether its runtime has the plugins of NVIDIA's library, such as EfficientNMS_TRT."""
        return self.builder == TENSORRT


BOARDS: Dict[str, Board] = {}
TARGETS: Dict[str, Target] = {}


def register_board(board: Board) -> Board:
    """Add a board to the table and return it.

    Boards are recognised in the order of the table: one that is more special than another comes before it.

    Raises:
        ValueError: the name is taken by another board, or the peak rates are another device's.
    """
    for name in (board.name, *board.aliases):
        taken = _board(name)
        if taken is not None and taken != board:
            raise ValueError("board {!r}: the name {!r} is taken by {!r}".format(board.name, name, taken.name))
    if board.peak is not None and board.peak.device != board.name:
        raise ValueError("board {!r} has the peak rates of {!r}".format(board.name, board.peak.device))
    BOARDS[board.name] = board
    return board


def register_target(target: Target) -> Target:
    """Add a target and its board to the table, and return it.

    Raises:
        ValueError: a name is taken.
    """
    if TARGETS.get(target.name, target) != target:
        raise ValueError("target {!r} is in the table already".format(target.name))
    register_board(target.board)
    TARGETS[target.name] = target
    return target


def get_target(name: str) -> Target:
    """Return a target by its name, or by a name of its board; capitals and ``_`` for ``-`` do not matter.

    Raises:
        UsageError: no such target; the message suggests the nearest.
    """
    name = _plain(name)
    board = _board(name)
    found = TARGETS.get(name) or TARGETS.get("" if board is None else board.target or board.name)
    if found is None:
        _refuse_other_boards(name)
        raise unknown_name("target", name, target_names())
    return found


def get_board(name: str) -> Board:
    """Return a board by its name, an alias, or the name of one of its targets.

    Raises:
        UsageError: no such board; the message suggests the nearest.
    """
    name = _plain(name)
    found = _board(name) or (TARGETS[name].board if name in TARGETS else None)
    if found is None:
        _refuse_other_boards(name)
        raise unknown_name("device", name, board_names())
    return found


def find_board(model: Optional[str]) -> Optional[Board]:
    """Return the board of a device tree's model, the most special one; None for another."""
    return next((board for board in BOARDS.values() if board.is_model(model)), None)


def target_names() -> Tuple[str, ...]:
    """Return what ``--target`` takes, in the order of the table, without aliases."""
    return tuple(TARGETS)


def targets_with_plans() -> Tuple[str, ...]:
    """Return the names of the targets that run TensorRT plans."""
    return tuple(target.name for target in TARGETS.values() if target.builder)


def board_names() -> Tuple[str, ...]:
    """Return what ``--device`` takes: boards, then targets whose names are not a board's."""
    return (*BOARDS, *[name for name in TARGETS if name not in BOARDS])


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")


def _refuse_other_boards(name: str) -> None:
    if name == "jetson":
        raise UsageError("there are several Jetsons", "choose one of: " + ", ".join(
            board.name for board in BOARDS.values() if board.model_words))
    if name.startswith(("raspberry", "rpi")):
        raise UsageError("a Raspberry Pi has no GPU that TensorRT runs on",
                         "run the .onnx file there with ONNX Runtime: --target onnxruntime, --device cpu")


def _board(name: str) -> Optional[Board]:
    return next((board for board in BOARDS.values() if name == board.name or name in board.aliases), None)


# --- The table ------------------------------------------------------------------------------------------------------

PROCESSOR = register_board(Board("cpu", "the processor", "", target="onnxruntime"))

register_target(Target("nano", "Jetson Nano, JetPack 4.6.x", Board(
    "nano", "Jetson Nano", "5.3", aliases=("jetson-nano",), model_words=(("jetson", "nano"),), model_without=("orin",),
    gpu_clock="gpu", total_rails=("POM_5V_IN",),
    # 128 cores x 921.6 MHz x 2 operations of a multiply-add; GM20B does twice as many in FP16 (compute capability
    # 5.3). Clock: nvpmodel's MAXN. NVIDIA's data sheet of the module prints 472 GFLOPS and 25.6 GB/s.
    peak=Peak("nano", "Jetson Nano 4 GB, MAXN: 128 Maxwell cores at 921.6 MHz, 64-bit LPDDR4",
              236e9, 472e9, 25.6e9, 256 << 10, 5.0,
              "cores x clock x 2, FP16 twice that; NVIDIA's Jetson Nano data sheet: 472 GFLOPS (FP16), 25.6 GB/s; "
              "L2 of Tegra X1: 256 KB")), tensorrt=("8.2",), opset=13, ir_version=7, precision_mode="flag"))

# Its nvpmodel.conf has no MAXN; early releases of JetPack 4 have no modes of 20 W either.
register_board(Board(
    "xavier-nx", "Jetson Xavier NX", "7.2", aliases=("jetson-xavier-nx",), target="xavier",
    model_words=(("jetson", "xavier nx"),), gpu_clock="gv11b", total_rails=("VDD_IN",),
    full_power_modes=("MODE_20W_6CORE", "MODE_15W_6CORE"),
    # A tensor core of Volta does 64 multiply-adds a cycle in FP16 and knows no TF32: FP32 is the CUDA cores' rate.
    # FP16: 48 x 64 x 2 x 1.1 GHz; FP32: 384 x 2 x 1.1 GHz. The first data sheets have 51.2 GB/s.
    peak=Peak("xavier-nx", "Jetson Xavier NX, 20 W: 384 Volta cores and 48 tensor cores at 1100 MHz, 128-bit LPDDR4x",
              845e9, 6.76e12, 59.7e9, 512 << 10, 5.0,
              "cores x clock x 2, tensor cores x 64 x clock x 2; NVIDIA's Jetson Xavier NX data sheet: 384 cores, 48 "
              "tensor cores, 1100 MHz; NVIDIA's table of modules: 59.7 GB/s; L2 of Xavier: 512 KB")))
register_board(Board(
    "agx-xavier", "Jetson AGX Xavier", "7.2", aliases=("jetson-agx-xavier",), target="xavier",
    model_words=(("jetson", "agx xavier"), ("jetson-agx",)), model_without=("orin", "thor"),
    gpu_clock="gv11b",
    # FP16: 64 tensor cores x 64 x 2 x 1.377 GHz, which NVIDIA rounds to 11 TFLOPS; FP32: 512 x 2 x 1.377 GHz.
    peak=Peak("agx-xavier", "Jetson AGX Xavier, MAXN: 512 Volta cores and 64 tensor cores at 1377 MHz, 256-bit LPDDR4x",
              1.41e12, 11.28e12, 136.5e9, 512 << 10, 5.0,
              "cores x clock x 2, tensor cores x 64 x clock x 2; NVIDIA's Jetson AGX Xavier data sheet: 512 cores, 64 "
              "tensor cores, 1377 MHz, 136.5 GB/s; L2 of Xavier: 512 KB (CUDA's deviceQuery)")))
_XAVIER = Board(
    "xavier", "Jetson Xavier, any", "7.2", aliases=("jetson-xavier",),
    model_words=(("jetson", "xavier"), ("jetson-agx",)), model_without=("orin", "thor"),
    gpu_clock="gv11b")
register_target(Target("xavier", "Jetson Xavier, JetPack 5.1", _XAVIER, ("8.5",), 13, 7, "flag"))
register_target(Target("xavier-jp4", "Jetson Xavier, JetPack 4.6.x", _XAVIER, ("8.2",), 13, 7, "flag"))

# Rates of the fastest mode there is, so that the lower bound holds in every mode. TF32 is half of FP16, as on every
# tensor core of Ampere; NVIDIA prints FP16, or INT8 with sparsity, which is four times FP16 without.
register_board(Board(
    "orin-nano", "Jetson Orin Nano", "8.7", aliases=("jetson-orin-nano",), target="orin",
    model_words=(("jetson", "orin nano"), ("nvidia orin nano",)), gpu_clock="ga10b",
    total_rails=("VDD_IN",),
    peak=Peak("orin-nano", "Jetson Orin Nano 8 GB, MAXN_SUPER: 1024 Ampere cores and 32 tensor cores at 1020 MHz, "
              "128-bit LPDDR5", 8.5e12, 17e12, 102e9, 2 << 20, 5.0,
              "NVIDIA on the Jetson Orin Nano Super (developer.nvidia.com/blog, December 2024): 17 TFLOPS (FP16), "
              "102 GB/s; L2 of an Orin with 8 multiprocessors: 2 MB (CUDA's deviceQuery)")))
register_board(Board(
    "orin-nx", "Jetson Orin NX", "8.7", aliases=("jetson-orin-nx",), target="orin",
    model_words=(("jetson", "orin nx"), ("nvidia orin nx",)), gpu_clock="ga10b",
    total_rails=("VDD_IN",),
    # 157 TOPS with those of the two DLAs; of the GPU's, NVIDIA prints the clock. 32 x 256 x 2 x 1.173 GHz.
    peak=Peak("orin-nx", "Jetson Orin NX 16 GB, MAXN_SUPER: 1024 Ampere cores and 32 tensor cores at 1173 MHz, "
              "128-bit LPDDR5", 9.6e12, 19.2e12, 102.4e9, 2 << 20, 5.0,
              "tensor cores x 256 x clock x 2; NVIDIA's Jetson Orin NX data sheet: 1024 cores, 32 tensor cores, "
              "102.4 GB/s; NVIDIA on JetPack 6.2's super mode: 1173 MHz; L2: 2 MB (CUDA's deviceQuery)")))
register_board(Board(
    "agx-orin", "Jetson AGX Orin", "8.7", aliases=("jetson-agx-orin",), target="orin",
    model_words=(("jetson", "agx orin"),), gpu_clock="ga10b",
    total_rails=("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    peak=Peak("agx-orin", "Jetson AGX Orin 64 GB, MAXN: 2048 Ampere cores and 64 tensor cores at 1.3 GHz, "
              "256-bit LPDDR5", 21.3e12, 42.5e12, 204.8e9, 4 << 20, 5.0,
              "NVIDIA's Jetson AGX Orin technical brief: 170 TOPS of the GPU (INT8 tensor, sparse), of which FP16 "
              "without sparsity is a quarter; 204.8 GB/s, 4 MB L2")))
_ORIN = Board(
    "orin", "Jetson Orin, any", "8.7", aliases=("jetson-orin",), model_words=(("jetson", "orin"), ("nvidia orin",)),
    gpu_clock="ga10b")
register_target(Target("orin", "Jetson Orin, JetPack 6.1 and 6.2", _ORIN, ("10.3",), 17, 8, "flag"))
register_target(Target("orin-jp60", "Jetson Orin, JetPack 6.0", _ORIN, ("8.6",), 17, 8, "flag"))
register_target(Target("orin-jp5", "Jetson Orin, JetPack 5.1", _ORIN, ("8.5",), 13, 7, "flag"))

register_target(Target("thor", "Jetson Thor, JetPack 7", Board(
    "thor", "Jetson Thor", "11.0", aliases=("jetson-thor",), model_words=(("jetson", "thor"),),
    gpu_clock="gb10b"), ("10.13", "10.16"), 20, 9, "typed"))

register_target(Target("a100", "A100, TensorRT 10 and 11", Board("a100", "A100", "8.0", gpu_word="A100", peak=Peak(
    "a100", "A100 40 GB, tensor cores", 156e12, 312e12, 1555e9, 40 << 20, 2.0,
    "NVIDIA's A100 data sheet: 156 TFLOPS (TF32 tensor, dense), 312 TFLOPS (FP16 tensor, dense), 1,555 GB/s, "
    "40 MB L2")), ("10.0", "10.16", "11.x"), 20, 9, "typed"))
# The data sheet prints the tensor cores' rates with sparsity: twice these.
register_target(Target("h100", "H100, TensorRT 10 and 11", Board("h100", "H100", "9.0", gpu_word="H100", peak=Peak(
    "h100", "H100 SXM 80 GB, tensor cores", 494.5e12, 989e12, 3350e9, 50 << 20, 2.0,
    "NVIDIA's H100 data sheet: 494.5 TFLOPS (TF32 tensor, dense), 989 TFLOPS (FP16 tensor, dense), 3.35 TB/s, "
    "50 MB L2")), ("10.0", "10.16", "11.x"), 20, 9, "typed"))
register_board(Board("h200", "H200", "9.0", gpu_word="H200"))
register_board(Board("l4", "L4", "8.9", gpu_word="L4"))
register_board(Board("t4", "T4", "7.5", gpu_word="T4"))
register_target(Target(
    "rtx", "GeForce RTX, TensorRT-RTX", Board("rtx", "GeForce RTX or RTX workstation GPU", "8.6", gpu_word="RTX"),
    ("rtx-1.7",), 20, 9, "typed", builder=TENSORRT_RTX))
register_target(Target("onnxruntime", "ONNX Runtime on a CPU", PROCESSOR, (), 20, 9, "none", "tokens-attribute",
                       builder=""))
