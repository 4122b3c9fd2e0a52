"""Mutation testing by cosmic-ray (extra `mutation`): do the tests of a module notice a changed operator or number?

    python tests/mutate.py FOLDER [--mutants 40] [--seed 0] [--modules losses,graph]

The checkout is copied into FOLDER (its own, outside the checkout) and changed there. A sample of each module's mutants
is run, each against that module's tests below; FOLDER/MODULE.sqlite is cosmic-ray's session (`cr-report` reads it), and
the same command goes on where it was stopped. cosmic-ray makes the mutants; it has no sampling, and it starts a new
Python for each mutant, seconds for torch alone: here each is a fork of a process that has imported the large packages.
Linux and macOS.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    "losses": "losses model parity_parts",
    "graph": "graph model parity_parts",
    "interaction": "interaction model",
    "sampling": "sampling",
    "training": "fit training config",
    "data": "data",
    "text": "text",
    "metrics": "evaluation parity_metrics",
    "evaluation": "evaluation",
}
TIMEOUT = 600  # seconds a mutant: several times the slowest module's tests


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Places of type annotations: `X | None` is an operator too, but nothing runs it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for field in ("annotation", "returns"):
            part = getattr(node, field, None)
            if isinstance(part, ast.expr):
                found.append(((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)))
    return found


def sample(session, module: Path, mutants: int, seed: int) -> None:
    """Make `module`'s mutants and mark all but a sample as skipped; at most one at a place."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    init([module], session, {})
    barred = annotations(module.read_text())
    items = sorted(session.work_items, key=lambda i: (i.mutations[0].operator_name, i.mutations[0].occurrence))
    random.Random(f"{seed} {module.stem}").shuffle(items)
    places, skipped = set(), []
    for item in items:
        place = (item.mutations[0].start_pos, item.mutations[0].end_pos)
        inside = any(low <= place[0] <= high for low, high in barred)
        if inside or place in places or len(places) == mutants:
            skipped.append(item.job_id)
        else:
            places.add(place)
    session.set_multiple_results(skipped, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def run_tests(module: str, log: Path) -> bool:
    """Whether the tests of `module` pass, in a fork of this process."""
    files = [f"tests/test_{name}.py" for name in TESTS[module].split()]
    child = os.fork()
    if child == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(out, stream)
        import pytest

        os._exit(int(pytest.main(["-q", "-x", "--tb=no", "-p", "no:cacheprovider", *files])))
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    log.write_text("timeout")
    return False


def run(session, module: str) -> None:
    """Every mutant that has no result yet."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

    log = Path("log.txt")
    for item in list(session.pending_work_items):
        mutation = item.mutations[0]
        with use_mutation(mutation.module_path, get_operator(mutation.operator_name)(), mutation.occurrence) as codes:
            passed = run_tests(module, log)
        row = mutation.start_pos[0] - 1
        before, after = ("".join(code.splitlines()[row : row + 1]).strip() for code in codes)
        last = log.read_text(errors="replace").strip().splitlines()
        output = next((line for line in last if line.startswith(("FAILED", "ERROR"))), last[-1] if last else "")
        outcome = TestOutcome.SURVIVED if passed else TestOutcome.KILLED
        session.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, output, outcome, f"- {before}\n+ {after}"))
        where = f"{module}:{row + 1} {mutation.operator_name.removeprefix('core/')}"
        print(f"{outcome.value:<9}{where}  {'' if passed else output[:100]}", flush=True)
        if passed:
            print(f"    - {before}\n    + {after}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutants", type=int, default=40, help="a module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", default=",".join(TESTS))
    args = parser.parse_args()
    folder = args.folder.resolve()
    if folder.is_relative_to(ROOT):
        sys.exit(f"{folder}: inside the checkout, wanted a folder of its own")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in listed.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    os.chdir(folder)
    # the copy is imported, in subprocesses too; one thread, and none of pytest's plugins, is faster
    os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
    sys.dont_write_bytecode = True  # a mutant within the same second would be taken for the file before it
    sys.path[0] = str(folder)
    import hypothesis  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import pytest  # noqa: F401
    import sklearn.cluster  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401
    from cosmic_ray.work_db import WorkDB, use_db
    from transformers import AutoModel, BertModel, BertTokenizerFast  # noqa: F401

    for module in args.modules.split(","):
        path = Path(f"{module}.sqlite")
        fresh = not path.is_file()
        with use_db(str(path), WorkDB.Mode.create) as session:
            if fresh:
                sample(session, Path(f"hrem_lib/{module}.py"), args.mutants, args.seed)
            if not run_tests(module, Path("log.txt")):
                sys.exit(f"{module}: its tests fail before any change, see {folder / 'log.txt'}")
            run(session, module)
            counts = Counter(r.test_outcome.value for _, r in session.results if r.test_outcome)
        print(f"{module}: {counts['killed']} killed, {counts['survived']} survived", flush=True)


if __name__ == "__main__":
    main()
