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

# Blocks of each kind, and their seconds.
VIEWERS, BLOCKS, BLOCK_S, SETTLE_S = 3, 16, 1.3, 0.3
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
    """Return, without (False) and with viewers, a list of blocks of (inference, latency); and pictures per second."""
    found, pictures, block = {False: [], True: []}, [], []
    looking, changed = False, time.monotonic() + 1.0  # the first second is not counted
    for result in network.stream(camera):
        page.show(result)
        elapsed = time.monotonic() - changed
        if elapsed > SETTLE_S:
            block.append((result.timings.inference_ms, result.timings.latency_ms))
        if elapsed > BLOCK_S:
            found[looking].append(block)
            if looking and len(found[True]) == blocks:
                break
            looking, block, changed = not looking, [], time.monotonic()
            viewers.stdin.write("look\n" if looking else "leave\n")
            viewers.stdin.flush()
            if not looking:
                pictures.append(int(viewers.stdout.readline()) / BLOCK_S)
    return found, pictures


def p50s(found, index):
    """Return both medians of one of the two times, and the median of the ratios of neighbouring blocks.

    Other machines on the same host make this one faster and slower by the minute, which neighbours share.
    """
    halves = [[[pair[index] for pair in block] for block in found[looking]] for looking in (False, True)]
    none, three = (median([value for block in half for value in block]) for half in halves)
    return none, three, median([median(with_three) / median(with_none) for with_none, with_three in zip(*halves)])


@pytest.mark.serial
@pytest.mark.sweep
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_viewers_do_not_slow_the_network_down(nano_export):
    found, pictures = measure(nano_export("xxs").onnx_path, pinned=True)
    assert median(pictures) > 7
    for index in range(2):
        assert p50s(found, index)[2] < 1.05


def main():
    if sys.argv[1] == "--watch":
        watch(int(sys.argv[2]))
        return
    for pinned in (True, False):
        found, pictures = measure(sys.argv[1], pinned)
        for index, name in enumerate(("inference", "latency")):
            none, three, ratio = p50s(found, index)
            click.echo("{:<9} {}: p50 {:.2f} ms with no viewer, {:.2f} ms with {}: {:+.1%}; by blocks {:+.1%}".format(
                name, "pinned" if pinned else "free  ", none, three, VIEWERS, three / none - 1, ratio - 1))
        click.echo("{} frames, pictures a second for the slowest viewer: {:.1f}".format(
            sum(map(len, found[False] + found[True])), median(pictures)))


if __name__ == "__main__":
    main()
