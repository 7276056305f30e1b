"""What viewers cost the network: latencies with none and with three, in turns, in one run.

As a script: ``PYTHONPATH=. python3 tests/core/live_view/test_live_cost.py ENGINE`` prints the figures, pinned (the
network on one core, server and viewers on another) and not. ``chrt -r 1`` in front of it keeps a busy machine out.
"""
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import click
import pytest

VIEWERS, BLOCKS, BLOCK_S, SETTLE_S = 3, 24, 1.5, 0.3
SOURCE = "synthetic://1280x720@30"


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def watch(port):
    """Be three viewers while a line of standard input says so; print how many bytes came when it says the opposite."""
    for line in sys.stdin:
        if line.strip() == "look":
            viewers = [socket.create_connection(("127.0.0.1", port)) for _ in range(VIEWERS)]
            counts = [0] * VIEWERS

            def read(index, viewer, counts=counts):
                viewer.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with contextlib.suppress(OSError):
                    while True:
                        data = viewer.recv(1 << 18)
                        if not data:
                            return
                        counts[index] += data.count(b"Content-Type: image/jpeg")
            threads = [threading.Thread(target=read, args=pair) for pair in enumerate(viewers)]
            for thread in threads:
                thread.start()
        else:
            for viewer in viewers:
                viewer.shutdown(socket.SHUT_RDWR)
                viewer.close()
            for thread in threads:
                thread.join()
            click.echo(min(counts))


def measure(engine, pinned, blocks=BLOCKS):
    """Return inference times and latencies, milliseconds, without and with viewers; and pictures per second of each."""
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.live_view.address import ServeAddress
    from edgenext_deploy.networks.classifier import Classifier
    from edgenext_deploy.run.serving import open_live_view
    from edgenext_deploy.run.views import view_of
    from edgenext_deploy.runtime.options import RuntimeOptions

    before = os.sched_getaffinity(0)
    first, second = sorted(before)[:2]
    opened = []

    def open_page():
        # A thread inherits the cores of the one that makes it.
        if pinned:
            os.sched_setaffinity(0, {second})
        opened.append(open_live_view(view_of(network, anyway=True), ServeAddress("127.0.0.1", 0), None))

    with Classifier(engine, runtime=RuntimeOptions(threads=1)) as network:
        opener = threading.Thread(target=open_page)
        opener.start()
        opener.join()
        (page,) = opened
        viewers = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--watch", str(page.port)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
        try:
            if pinned:
                os.sched_setaffinity(viewers.pid, {second})
                os.sched_setaffinity(0, {first})
            with page, Camera(SOURCE) as camera:
                page.watch(camera)
                return run_blocks(network, camera, page, viewers, blocks)
        finally:
            viewers.stdin.close()
            viewers.wait(timeout=10)
            viewers.stdout.close()
            os.sched_setaffinity(0, before)


def run_blocks(network, camera, page, viewers, blocks):
    found, pictures, looking, block = {False: ([], []), True: ([], [])}, [], False, 0
    changed = time.monotonic()
    for result in network.stream(camera):
        if block > blocks:
            break
        page.show(result)
        elapsed = time.monotonic() - changed
        if block and elapsed > SETTLE_S:
            found[looking][0].append(result.timings.inference_ms)
            found[looking][1].append(result.timings.latency_ms)
        if elapsed > BLOCK_S:
            block += 1
            # none, three, three, none, ...: a machine that gets slower does so for both
            wanted = block % 4 in (2, 3) and block <= blocks
            if wanted != looking:
                viewers.stdin.write("look\n" if wanted else "leave\n")
                viewers.stdin.flush()
                if not wanted:
                    pictures.append(int(viewers.stdout.readline()) / (2 * BLOCK_S))
                looking = wanted
            changed = time.monotonic()
    return found, pictures


@pytest.mark.serial
@pytest.mark.sweep
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_viewers_do_not_slow_the_network_down(nano_export):
    found, pictures = measure(nano_export("xxs").onnx_path, pinned=True)
    assert median(pictures) > 7
    for with_none, with_three in zip(found[False], found[True]):
        assert median(with_three) < 1.05 * median(with_none)


def main():
    if sys.argv[1] == "--watch":
        watch(int(sys.argv[2]))
        return
    for pinned in (True, False):
        found, pictures = measure(sys.argv[1], pinned)
        for index, name in enumerate(("inference", "latency")):
            none, three = median(found[False][index]), median(found[True][index])
            click.echo("{:<9} {}: p50 {:.2f} ms with no viewer, {:.2f} ms with {}: {:+.1%} ({} and {} frames)".format(
                name, "pinned" if pinned else "free  ", none, three, VIEWERS, three / none - 1,
                len(found[False][index]), len(found[True][index])))
        click.echo("pictures a second for the slowest viewer: {:.1f}".format(median(pictures)))


if __name__ == "__main__":
    main()
