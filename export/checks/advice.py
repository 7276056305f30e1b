"""What a message suggests if the graph that an export has written does not pass its checks."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Advice:
    """What to do, in words.

    Attributes:
        other_answers: if the graph computes something else than the reference.
        refused: if the target, or NVIDIA's builder, cannot run it.
        refusal_is_a_defect: whether the latter is our fault.
    """

    other_answers: str
    refused: str
    refusal_is_a_defect: bool


OUR_NETWORK = Advice(
    "this is a defect of the lowering: please report the variant, the options and the checkpoint",
    "choose another --target; otherwise this is a defect of the lowering: please report the variant and the options",
    True)
ADOPTED_FILE = Advice(
    "this is a defect of adopt: please report the file and the options",
    "choose another --target (edgenext-export check FILE.onnx lists those that can run a file), or export the network "
    "without these operators", False)
