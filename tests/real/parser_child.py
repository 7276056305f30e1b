"""Ask TensorRT-RTX's parser about many models: ``python parser_child.py PACKED ANSWERS FIRST [SM]``.

PACKED holds the models one after the other, each as an 8-byte length and its bytes. ANSWERS gets a JSON line for each
from number FIRST on, written before the next model is read: a crash loses none. With SM, what parses is built too.
"""
import json
import os
import struct
import sys

import tensorrt_rtx as trt


class Quiet(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.errors = []

    def log(self, severity, message):
        if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
            self.errors.append(" ".join(message.split())[:200])


def unpack(stream):
    while True:
        head = stream.read(8)
        if not head:
            return
        yield stream.read(struct.unpack("<Q", head)[0])


def size_of(name):
    """Return the size at which a symbolic one runs: the number at the end of its name, else 4."""
    number = name.rpartition("_")[2]
    return int(number) if number.isdigit() else 4


def ask(builder, logger, content, capability):
    logger.errors = []
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    answer = {"parsed": bool(parser.parse(content))}
    if not answer["parsed"]:
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        answer.update(op=errors[0].node_operator() if errors else "",
                      reason=" ".join((errors[0].desc() if errors else "".join(logger.errors[:1])).split())[:200])
    elif capability is not None:
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)
        profile = builder.create_optimization_profile()
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        if any(tensor.is_shape_tensor for tensor in inputs):
            return dict(answer, built=None)  # the builder must be told their values
        for tensor in inputs:
            shape = [size_of(tensor.get_dimension_name(axis)) if size < 0 else size
                     for axis, size in enumerate(tensor.shape)]
            profile.set_shape(tensor.name, shape, shape, shape)
        config.add_optimization_profile(profile)
        answer["built"] = builder.build_serialized_network(network, config) is not None
        if not answer["built"]:
            answer["reason"] = "".join(logger.errors[:1])
    return answer


def main(packed, answers, first, sm=None):
    logger = Quiet()
    builder = trt.Builder(logger)
    capability = trt.ComputeCapability.__members__["SM" + sm] if sm else None
    with open(packed, "rb") as stream, open(answers, "a", encoding="utf-8") as written:
        for number, content in enumerate(unpack(stream)):
            if number >= int(first):
                written.write(json.dumps({"number": number, **ask(builder, logger, content, capability)}) + "\n")
                written.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
    # TensorRT-RTX may crash at the end of the interpreter where there is no GPU.
    os._exit(0)
