"""A server of KServe's open inference protocol for tests: it runs an ONNX file, with or without tensors as bytes."""
import contextlib
import http.server
import json
import threading

import numpy as np

TYPES = {"float32": "FP32", "uint8": "UINT8"}
LENGTH = "Inference-Header-Content-Length"


@contextlib.contextmanager
def serving(session, binary=True, change=lambda path, document: document, broken=None, idle_s=None):
    """Serve the model ``net`` and yield its address.

    Args:
        session: an open session.
        binary: whether the server has the extension for tensors as bytes.
        change: gets the path and the document of an answer, and returns what is sent.
        broken: bytes that every request is answered with.
        idle_s: after which the server hangs up.
    """
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = idle_s

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            if self.path == "/v2":
                self.answer({"name": "double", "version": "1.0",
                             "extensions": ["binary_tensor_data"] if binary else []})
            elif self.path == "/v2/models/net":
                self.answer({"name": "net", "inputs": tensors(session.inputs), "outputs": tensors(session.outputs)})
            else:
                self.answer({"error": "no such model"}, status=404)

        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            length = int(self.headers.get(LENGTH) or len(content))
            request = json.loads(content[:length].decode())
            (tensor,) = request["inputs"]
            assert (LENGTH in self.headers) == binary and ("data" in tensor) != binary
            dtype = session.inputs[0].dtype
            image = np.frombuffer(content[length:], dtype) if binary else np.array(tensor["data"], dtype)
            found, raw = [], b""
            for spec, values in zip(session.outputs, session.infer_all(image.reshape(tensor["shape"]))):
                output = {"name": spec.name, "shape": list(values.shape), "datatype": TYPES[spec.dtype]}
                if binary:
                    output["parameters"] = {"binary_data_size": values.nbytes}
                    raw += values.tobytes()
                else:
                    output["data"] = values.ravel().tolist()
                found.append(output)
            self.answer({"model_name": "net", "outputs": found}, raw)

        def answer(self, document, raw=b"", status=200):
            head = json.dumps(change(self.path, document)).encode() if broken is None else broken
            self.send_response(status)
            if raw:
                self.send_header(LENGTH, str(len(head)))
            self.send_header("Content-Length", str(len(head + raw)))
            self.end_headers()
            self.wfile.write(head + raw)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield "triton://127.0.0.1:{}/net".format(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tensors(specs):
    return [{"name": spec.name, "datatype": TYPES[spec.dtype], "shape": list(spec.shape)} for spec in specs]
