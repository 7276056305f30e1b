"""An HTTP server on this machine, for tests of downloads."""
import contextlib
import http.server
import threading
import time


@contextlib.contextmanager
def serving(monkeypatch, handler, **attributes):
    """Serve with a handler while the context lasts, without a proxy; `attributes` are put on the server."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    vars(running).update(attributes)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def wait_until(condition, limit_s=60.0):
    """Wait for something that a process does; it must come."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
