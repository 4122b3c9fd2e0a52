"""An index folder as Parquet files, for the databases that others run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hrem_lib.errors import UserError
from hrem_lib.files import read_lines
from hrem_lib.search.index_folder import SIDES, read_info


def export_parquet(folder: str | Path, out: str | Path) -> list[Path]:
    """Write `images.parquet` and `captions.parquet` for a search engine of its own: id, vector, payload.

    Columns: id int64, vector list of float32 (unit length), and `name`; for captions `caption` and `image`, the id of
    their image. Needs pyarrow.

    Raises:
        UserError: pyarrow is not installed, or no index.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError("--export: needs the package pyarrow (pip install pyarrow)") from None
    folder, out = Path(folder), Path(out)
    info, written = read_info(folder), []
    out.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        vectors, lines = np.load(folder / f"{side}.npy", mmap_mode="r"), read_lines(folder / f"{side}.txt")
        payload = [("name", pa.string())] if side == "images" else [("caption", pa.string()), ("image", pa.int64())]
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32())), *payload])
        path = out / f"{side}.parquet"
        with parquet.ParquetWriter(path, schema) as writer:
            for start in range(0, len(vectors), 10_000):
                block = np.asarray(vectors[start : start + 10_000], np.float32)
                ids = np.arange(start, start + len(block))
                ends = pa.array(np.arange(0, block.size + 1, block.shape[1], dtype=np.int32))
                columns = [pa.array(ids), pa.ListArray.from_arrays(ends, pa.array(block.ravel())), lines[start : start + len(block)]]  # fmt: skip # noqa: E501
                columns += [pa.array(ids // info["captions_per_image"])] if side == "captions" else []
                writer.write_table(pa.table(columns, schema=schema))
        written.append(path)
    return written
