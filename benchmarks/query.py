"""Time of one caption query as the gallery grows: embeddings (Sec 3.5) beside a score-based method.

    python benchmarks/query.py --json query.json

Embeddings: the caption goes through the encoder once, then one product with the gallery's vectors (both timed).
Score-based: every picture's regions must meet the caption's words again (here the plainest such method, the one-step
cross attention of SCAN: each word attends the regions, the score is the mean cosine of words and what they attend).
Sizes are the paper's (D = 1024, 36 regions, 14 words); vectors are random, for time does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hrem_lib import config as configs
from hrem_lib.model import build_model

D, REGIONS, WORDS = 1024, 36, 14


def scores(words: torch.Tensor, regions: torch.Tensor, chunk: int = 512) -> torch.Tensor:
    """Score of a caption [L,D] with every picture [n,R,D], all fragments of unit length: [n]."""
    found = []
    for part in regions.split(chunk):
        match = part @ words.T  # [c,R,L]
        attended = (9 * match.clamp(min=0)).softmax(1).mT @ part  # [c,L,D]
        found.append(((attended * words).sum(2) / attended.norm(dim=2)).mean(1))
    return torch.cat(found)


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median time of `work` in milliseconds."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def unit(*shape: int) -> torch.Tensor:
    """Random rows of unit length."""
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


@torch.inference_mode()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 3_000, 10_000, 30_000, 100_000])
    parser.add_argument("--fragments", type=int, default=30_000, help="largest gallery for the score-based method")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = build_model(configs.preset("f30k").override({"model.text_encoder": "bigru"}), 2048, 8000).eval()
    caption, mask = torch.randint(4, 8000, (1, WORDS)), torch.ones(1, WORDS, dtype=torch.bool)
    encode = median_ms(lambda: model.encode_texts(caption, mask), 30)
    print(f"encoding the caption (BiGRU): {encode:.1f} ms\n{'pictures':>9} {'embeddings':>11} {'score-based':>12}")
    words, rows = unit(WORDS, D), []
    for items in args.items:
        vectors = unit(items, D)
        product = median_ms(lambda v=vectors: (v @ words[0]).topk(10), 10)
        del vectors
        row = {"pictures": items, "encode_ms": encode, "embeddings_ms": encode + product}
        if items <= args.fragments:
            regions = torch.cat([unit(min(1000, items - at), REGIONS, D) for at in range(0, items, 1000)])
            row["score_based_ms"] = encode + median_ms(lambda r=regions: scores(words, r).topk(10), 3)
            del regions
        rows.append(row)
        scored = f"{row['score_based_ms']:>9.1f} ms" if "score_based_ms" in row else "-"
        print(f"{items:>9} {row['embeddings_ms']:>8.1f} ms {scored:>12}", flush=True)
    if args.json:
        about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        args.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
