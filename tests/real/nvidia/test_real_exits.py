"""How a process with open sessions ends, on real pycuda: normally, after an error that lasts, and in a forked child.

pycuda's destructors abort the process where they cannot make their context current; none may run then.
"""
import pytest
from real.nvidia import children
from sweeps import sweep

pytestmark = pytest.mark.real

RESTART = "CudaError"
# Exit status, and what is printed before "violations".
NORMAL = {"plain": (0, ""), "autoinit": (0, ""), "thread": (0, ""), "traceback": (1, ""), "daemon": (0, ""),
          "exit_inside": (3, ""), "interrupt": (None, ""), "half_closed": (0, ""), "cycle": (0, ""), "views": (0, ""),
          "no_gpu": (0, "MissingRuntimeError"), "two_gpus": (0, "UsageError")}
FORKED = {"fork": (0, "UsageError"), "fork_close": (0, "child 0"), "fork_reopen": (0, "MissingRuntimeError"),
          "fork_multiprocessing": (0, "child 0")}
STICKY = dict.fromkeys((
    "sticky_left_open", "sticky_close", "sticky_close_elsewhere", "sticky_graph", "sticky_opening",
    "sticky_opening_zero_copy", "sticky_preprocessor"), (0, RESTART))
CASES = dict(NORMAL, **FORKED, **STICKY)
# Every way to end on one release of each pycuda; on the other releases of TensorRT, what destroys its objects.
FULL = [("8.6", "2022.1", "3.6"), ("10.3", "2026.1", "3.11")]
OTHERS = [row for row in children.COMBINATIONS if row not in FULL]
ALWAYS = [(*row, "all") for row in FULL] + [(*row, "some") for row in OTHERS]
SOME = ("plain", "sticky_close", "sticky_opening", "fork")


@pytest.mark.parametrize("release, pycuda, python", FULL)
def test_a_context_that_cannot_be_popped_aborts_after_it_was_said(release, pycuda, python):
    done = children.run_script((release, pycuda, python), "exit_cases.py", "sticky_pop")
    assert done.returncode == -6 and done.stdout.index(RESTART) < done.stdout.index("PyCUDA ERROR"), done.stdout


@pytest.mark.parametrize("release, pycuda, python, which", sweep(
    [*ALWAYS, *[(*row, "all") for row in OTHERS + children.OLDER]], always=ALWAYS))
def test_a_process_ends_as_it_should(release, pycuda, python, which):
    combination, wrong = (release, pycuda, python), []
    for case, (status, said) in CASES.items():
        if which == "some" and case not in SOME:
            continue
        done = children.run_script(combination, "exit_cases.py", case)
        clean = "terminate called" not in done.stdout and "not empty upon module cleanup" not in done.stdout
        right = done.returncode == status or (status is None and done.returncode in (-2, 1, 130))
        over = status != 0 or ("violations []" in done.stdout and done.stdout.rstrip().endswith("end"))
        if not (clean and right and over and said in done.stdout):
            wrong.append("{}: status {}\n{}".format(case, done.returncode, done.stdout[-1500:]))
    assert not wrong, "\n".join(wrong)
