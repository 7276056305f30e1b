"""Stands in for nvcc where there is none: writes an image with the kernels' names, for the driver of `driver/`."""
import re
import sys


def main(arguments):
    """Take nvcc's arguments as pycuda gives them; write the image next to the source."""
    if "--version" in arguments:
        print("nvcc stand-in of edgenext-deploy's tests, release 12.6")  # noqa: T201
        return
    (source,) = [argument for argument in arguments if argument.endswith(".cu")]
    with open(source) as stream:
        text = stream.read()
    with open(source[:-3] + ".cubin", "wb") as stream:
        stream.write(b"KERNELS " + " ".join(re.findall(r"__global__\s+void\s+(\w+)", text)).encode() + b"\0")


if __name__ == "__main__":
    main(sys.argv[1:])
