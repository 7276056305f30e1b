"""Photos to a model that Triton serves, prepared as its manifest says: triton_client.py ADDRESS MANIFEST PHOTO...

ADDRESS is triton://HOST:PORT/MODEL, or triton+grpc://HOST:PORT/MODEL for the server's gRPC service, which needs
tritonclient[grpc]. MANIFEST is the JSON file that edgenext-export wrote next to the ONNX file.
"""
import sys

from edgenext_deploy import EdgeNextError
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.preprocess.input_form import as_input
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.runtime.kserve import KServeSession
from edgenext_deploy.runtime.kserve_grpc import SCHEME, GrpcSession


def main() -> int:
    """Print the class with the largest output for each photo."""
    if len(sys.argv) < 3:
        print("usage: triton_client.py ADDRESS MANIFEST PHOTO...", file=sys.stderr)
        return 2
    address, manifest_path, *photos = sys.argv[1:]
    try:
        manifest = manifests.read(manifest_path)
        with (GrpcSession if address.startswith(SCHEME) else KServeSession)(address) as session:
            for photo in photos:
                image = as_input(preprocess(photo, manifest.preprocessing), session.inputs[0])
                best = int(session.infer(image)[0].argmax())
                print(photo, manifest.labels[best] if manifest.labels else "class {}".format(best))
    except EdgeNextError as error:
        print("error: {}".format(error), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
