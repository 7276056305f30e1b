"""How much a command computes, whatever else the machine does meanwhile."""
import os
import subprocess


def cpu_seconds(command, runs=3, **options):
    """Return the CPU time of a command and its children, user and system, the least of some runs.

    The clock on the wall would count the time in which other programs have the processor.

    Args:
        command: the arguments; it has to end with exit code 0.
        runs: how often; caches and clocks can only add to the least.
        options: of `subprocess.Popen`.
    """
    found = []
    for _ in range(runs):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0, "{} ended with status {}".format(command, status)
        found.append(usage.ru_utime + usage.ru_stime)
    return min(found)
