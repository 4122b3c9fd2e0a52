"""nbval's options, so that the bare `pytest --nbval notebooks/` has them, from any folder; sources are no tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
# for the kernels, too. On a busy machine a thread of two waits for the other again and again: notebook 06 took 214 s
# with two threads beside two trainings, 25 s with one
os.environ.setdefault("OMP_NUM_THREADS", "1")
# notebooks/assignments: nbgrader's folders. Student versions stop at their stubs, submissions may do anything, and
# sources keep no outputs that could be compared; `make assignments-check` runs them (tests/assignments)
collect_ignore_glob = ["notebooks/source/*", "notebooks/assignments/*"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Set what the command line left open; does nothing where nbval is not installed."""
    option = config.option
    if not hasattr(option, "nbval"):
        return
    if option.nbval_sanitize_with is None:
        option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")
    if option.nbval_kernel_name is None:
        option.nbval_current_env = True
    if option.nbval_cell_timeout == 2000:  # nbval's default
        option.nbval_cell_timeout = 600.0  # for a cell that hangs; one of seconds takes minutes on a busy machine
