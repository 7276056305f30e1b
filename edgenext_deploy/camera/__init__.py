"""Cameras, streams, files and test patterns as one thing: a `Camera` that gives the newest frame.

::

    with Camera("csi://0", width=1280, height=720, fps=30) as camera:
        frame = camera.read(timeout=1.0)

See ``docs/camera.md`` for the addresses and the rules.
"""
