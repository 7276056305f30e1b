"""A board that the toolkit does not know: all that it takes is this call."""
from edgenext_deploy.targets import Board, Peak, Target, register_target

TOY = register_target(Target(
    "toy", "Toy board, TensorRT 10.3", Board(
        "toy", "Toy board", "8.7", aliases=("toy-board",), model_words=(("toy", "kit"),), gpu_clock="toy9b",
        total_rails=("TOY_IN",), full_power_modes=("TOY_FULL",),
        peak=Peak("toy", "Toy board, TOY_FULL", 1e12, 2e12, 100e9, 1 << 20, 3.0, "invented for a test")),
    tensorrt=("10.3",), opset=17, ir_version=8, precision_mode="typed"))
