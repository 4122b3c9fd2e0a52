"""Clusters of neighbor batches at COCO's size: seconds and peak memory of `sampling.cluster_images`, by its two parts.

    OMP_NUM_THREADS=1 python benchmarks/clusters.py --images 113287

The embeddings are those of `index.py`: loose groups of about 100. Memory is what a part holds at its peak beyond the
embeddings (Linux).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import index
from machine import resident

from hrem_lib import sampling
from hrem_lib.config import SamplingConfig


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=113_287)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    smallest = SamplingConfig().images_per_cluster
    clusters = args.images // (4 * smallest)
    images = np.empty((args.images, args.width), np.float32)
    rng = np.random.default_rng(0)
    cloud = index.cloud(args.images, args.width, rng)
    for start in range(0, args.images, 10_000):
        images[start : start + 10_000] = index.draw(*cloud, min(10_000, args.images - start), rng)
    found = {"images": args.images, "width": args.width, "clusters": clusters, "embeddings_gb": images.nbytes / 1e9}
    merge, parts = sampling.merge_small, []

    def mark() -> None:
        """End of a part: times and peak memory."""
        parts.append((time.perf_counter(), time.process_time(), resident("VmHWM")))
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest value so far

    def watched(labels: np.ndarray, centers: np.ndarray, smallest: int) -> np.ndarray:
        mark()
        found["small clusters"] = int((np.bincount(labels, minlength=len(centers)) < smallest).sum())
        return merge(labels, centers, smallest)

    sampling.cluster_images(images[:100], 2, 0, 1)  # imports
    sampling.merge_small = watched
    mark()
    held = resident("VmRSS")
    found["clusters left"] = int(sampling.cluster_images(images, clusters, 0, smallest).max()) + 1
    mark()
    for name, before, after in zip(("k-means", "merging"), parts, parts[1:], strict=False):
        found[name] = {
            "seconds": round(after[0] - before[0], 2),
            "cpu_seconds": round(after[1] - before[1], 2),
            "peak_gb": round((after[2] - held) / 1e9, 3),
        }
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
