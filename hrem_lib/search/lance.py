"""An index folder as LanceDB tables, and search in them: they stay on disk, so they need not fit in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hrem_lib.errors import UserError, brief
from hrem_lib.search.export import needed, rows
from hrem_lib.search.index_folder import SIDES, read_info

WRITES = "`hrem index RUN --export FOLDER --engine lance` writes them"
ABOUT = b"hrem"  # key of the tables' own notes: index.json, so that a table is of use without the index folder


class Table(NamedTuple):
    """One side of an index as a LanceDB table."""

    path: Path
    table: Any
    info: dict  # of the whole index, as `index.json` has it
    line: str  # the column that answers are shown by
    width: int

    def search(self, query: np.ndarray, k: int) -> list[tuple[int, float, str]]:
        """Item number, cosine and line of the k best items for a unit-length query [D], the best first.

        Raises:
            UserError: the table is damaged.
        """
        try:
            asked = self.table.search(query).distance_type("dot").limit(k).refine_factor(20)
            found = asked.select(["id", self.line, "_distance"]).to_arrow().to_pydict()
        except Exception as error:  # LanceDB has no class of its own errors
            raise _damaged(self.path, error) from None
        cosines = 1 - np.asarray(found["_distance"], np.float32)  # it calls 1 - q v a distance
        return list(zip(found["id"], cosines.tolist(), found[self.line], strict=True))


def write_tables(folder: str | Path, out: str | Path) -> list[Path]:
    """Write the tables `images.lance` and `captions.lance`, with the columns of `export_parquet`.

    Tables of these names are replaced, what else is in `out` stays. Needs lancedb.

    Raises:
        UserError: lancedb is not installed, or no index.
    """
    lancedb, folder, out = _lancedb(), Path(folder), Path(out)
    info = read_info(folder)
    database = lancedb.connect(str(out))
    for side in SIDES:
        schema, batches = rows(folder, side)
        database.drop_table(side, ignore_missing=True)
        database.create_table(side, batches, schema=schema.with_metadata({ABOUT: json.dumps(info)}))
    return [out / f"{side}.lance" for side in SIDES]


def open_table(folder: str | Path, side: str) -> Table:
    """The table of one side, "images" or "captions".

    Raises:
        UserError: lancedb is not installed; no table; one that is damaged or that `write_tables` did not write.
    """
    lancedb, path = _lancedb(), Path(folder) / f"{side}.lance"
    if not path.is_dir():
        raise UserError(f"{path}: not found, wanted LanceDB tables ({WRITES})")
    try:
        table = lancedb.connect(str(folder)).open_table(side)
        schema, items = table.schema, table.count_rows()
        if ABOUT not in (schema.metadata or {}):
            raise ValueError("a table of another program")
        info, width = json.loads(schema.metadata[ABOUT]), schema.field("vector").type.list_size
        wanted = info[side]["items"], info[side]["width"]
    except Exception as error:
        raise _damaged(path, error) from None
    if (items, width) != wanted:
        raise UserError(
            f"{path}: got {items} vectors of width {width}, wanted {wanted[0]} of width {wanted[1]} ({WRITES} anew)"
        )
    return Table(path, table, info, "name" if side == "images" else "caption", width)


def _damaged(path: Path, error: Exception) -> UserError:
    said = brief(error).split(", /")[0]  # then a line of LanceDB's own source
    return UserError(f"{path}: not readable ({said}), wanted LanceDB tables ({WRITES} anew)")


def _lancedb() -> Any:
    os.environ.setdefault("LANCE_LOG", "error")  # else it warns that a table which is to be written is not there yet
    return needed("lancedb")
