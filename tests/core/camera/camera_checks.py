"""What must hold of a camera's counters and of the frames that a consumer reads."""
import time

from edgenext_deploy.camera.synthetic import number_in


def add_up(counters):
    return counters.captured == counters.processed + counters.dropped + counters.waiting and counters.waiting in (0, 1)


def check_newest(camera, frames, busy_s):
    """Read as a slow consumer does; every frame must be the newest at that moment, by its number in its pixels."""
    numbers, ages = [], []
    while len(numbers) < frames:
        before = camera.counters.captured
        frame = camera.read(5.0)
        if frame is None:
            break
        ages.append(camera.now() - frame.captured_at)
        assert frame.number >= before - 1
        assert number_in(frame.image) == frame.number
        assert add_up(camera.counters)
        numbers.append(frame.number)
        time.sleep(busy_s)
    assert numbers == sorted(set(numbers))
    return numbers, sorted(ages)
