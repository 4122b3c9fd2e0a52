"""An index folder as Parquet files, for the databases that others run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hrem_lib.errors import UserError
from hrem_lib.files import read_lines
from hrem_lib.search.index_folder import SIDES, read_info

STEP = 10_000  # vectors held in memory at a time


def export_parquet(folder: str | Path, out: str | Path) -> list[Path]:
    """Write `images.parquet` and `captions.parquet` for a search engine of its own: id, vector, payload.

    Columns: id int64, vector fixed-size list of float32 (unit length), and `name`; for captions `caption` and `image`,
    the id of their image. Files of these names are replaced, others stay. Needs pyarrow.

    Raises:
        UserError: pyarrow is not installed, or no index.
    """
    parquet = needed("pyarrow.parquet")
    folder, out = Path(folder), Path(out)
    written = []
    for side in SIDES:
        schema, batches = rows(folder, side)
        out.mkdir(parents=True, exist_ok=True)
        written.append(out / f"{side}.parquet")
        with parquet.ParquetWriter(written[-1], schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    return written


def needed(module: str) -> Any:
    """A module of the extra `export`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f'{module.split(".")[0]}: not installed, wanted it by pip install -e ".[export]"') from None


def rows(folder: Path, side: str) -> tuple[Any, Iterator[Any]]:
    """Arrow schema of one side of an index folder, "images" or "captions", and its rows, a record batch at a time."""
    import pyarrow as pa

    info = read_info(folder)
    vectors, lines = np.load(folder / f"{side}.npy", mmap_mode="r"), read_lines(folder / f"{side}.txt")
    width = vectors.shape[1]
    payload = [("name", pa.string())] if side == "images" else [("caption", pa.string()), ("image", pa.int64())]
    # a list of fixed size: engines take a list of any length for something that is no vector
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), width)), *payload])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(vectors), STEP):
            block = np.asarray(vectors[start : start + STEP], np.float32)
            ids = np.arange(start, start + len(block))
            columns = [pa.array(ids), pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width)]
            columns += [pa.array(lines[start : start + len(block)])]
            columns += [pa.array(ids // info["captions_per_image"])] if side == "captions" else []
            yield pa.record_batch(columns, schema=schema)

    return schema, batches()
