"""Speed and memory of every part beside the machine's own limit: `make bench`, `make bench ARGS="--form full"`.

Writes FOLDER/bench.json, and from it bench.md (table), shares.png and roofline.png.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import cases
import report
from machine import Case, Machine


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", choices=sorted(cases.FORMS), default="quick", help="quick: under 5 minutes")
    parser.add_argument("--only", nargs="+", metavar="GROUP", default=[], help="e.g. --only graph pooling")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of one thread, on a shared machine")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), metavar="FOLDER")
    parser.add_argument("--scratch", type=Path, help="where the sparse file is made (full form: 4 GiB of it are real)")
    args = parser.parse_args(argv)
    began, sizes = time.perf_counter(), cases.FORMS[args.form]
    machine = Machine(args.device, args.cpu_time)
    about = machine.describe() | {"form": args.form}
    print(json.dumps(about, indent=2))
    groups = {
        "graph": cases.graph, "pooling": cases.poolings, "attention": cases.attention, "losses": cases.losses,
        "step": cases.steps, "metrics": cases.metrics,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch) / "bench_precomp"
        # first, so that nothing else is in memory; encoding reads the same file
        groups = {"loader": lambda *a: cases.loading(*a, folder), "encoding": lambda *a: cases.encoding(*a, folder),
                  **groups}  # fmt: skip
        unknown = sorted(set(args.only) - set(groups))
        if unknown:
            parser.error(f"--only: got {unknown[0]}, wanted some of {', '.join(groups)}")
        rows = []
        for name, make in groups.items():
            if args.only and name not in args.only:
                continue
            if name == "encoding" and not folder.exists():
                cases.sparse_split(folder, sizes)
            for case in make(machine, sizes):
                row = machine.measure(case) if isinstance(case, Case) else case
                rows.append(row)
                print(report.line(row), flush=True)
    about["minutes"] = (time.perf_counter() - began) / 60
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench.json").write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")
    report.write(args.out)
    print(f"{about['minutes']:.1f} minutes; {args.out}/bench.json, bench.md, shares.png, roofline.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
