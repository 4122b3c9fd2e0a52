"""Who is in the course: names that are safe everywhere and stay different, and an optional `roster.csv`."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from pathlib import Path

from hrem_lib.errors import UserError
from hrem_lib.files import read_lines

COLUMNS = ("id", "name", "canvas_id", "sis_id", "login", "moodle_id", "email", "section")
UNIQUE = ("canvas_id", "sis_id", "login", "moodle_id", "email")
LONGEST = 60  # characters of an id: 240 bytes at most, and a folder's name may have 255
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows keeps for itself


def student_id(name: str) -> str:
    """An id for a name: readable, the same each time, and another one for another name.

    Letters and digits of all scripts stay as they are (composed, NFC), spaces become `_`. Where anything else has to be
    replaced or cut, a short hash of the name follows. The id of an id is the id itself.
    """
    name = re.sub(r"\s+", "_", unicodedata.normalize("NFC", name).strip())
    kept = "".join(c if c in "._-" or unicodedata.category(c)[0] in "LMN" else "_" for c in name)
    safe = kept.lstrip(".-").rstrip(".")
    if RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if safe == name and 0 < len(safe) <= LONGEST:
        return safe
    return f"{safe[: LONGEST - 9] or 'student'}-{short(name)}"


def short(name: str) -> str:
    """Eight letters and digits that stand for a name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a roster, with all COLUMNS; none where there is no file.

    Raises:
        UserError: no table in UTF-8 with the columns id and name, an unknown column, or somebody is there twice.
    """
    if not path.exists():
        return []
    lines = csv.reader(io.StringIO("\n".join(read_lines(path))))
    people: list[dict[str, str]] = []
    seen: dict[tuple[str, str], int] = {}
    columns: list[str] = []
    for number, cells in enumerate(lines, start=1):
        cells = [unicodedata.normalize("NFC", cell.strip()) for cell in cells]
        if not columns:
            columns = cells
            wrong = [c for c in columns if c not in COLUMNS or columns.count(c) > 1]
            if wrong or not {"id", "name"} <= set(columns):
                raise UserError(
                    f"{path} line 1: got {','.join(cells)!r}, wanted id,name and any of {','.join(COLUMNS[2:])}"
                )
            continue
        if len(cells) != len(columns):
            raise UserError(f"{path} line {number}: got {len(cells)} cells, wanted {len(columns)}")
        row = dict.fromkeys(COLUMNS, "") | dict(zip(columns, cells, strict=True))
        if not row["id"] or not row["name"]:
            raise UserError(f"{path} line {number}: got an empty id or name, wanted both")
        row["id"] = student_id(row["id"])
        for column in ("id", *UNIQUE):
            first = seen.setdefault((column, row[column].casefold()), number) if row[column] else number
            if first != number:
                raise UserError(
                    f"{path} line {number}: got {column} {row[column]!r} of line {first}, wanted another one"
                )
        people.append(row)
    if not people:
        raise UserError(f"{path}: got nobody, wanted a line of columns and a line a student")
    return people


def find(people: list[dict[str, str]], name: str, key: tuple[str, str] | None) -> dict[str, str] | None:
    """Who on the roster handed something in; None where nobody or more than one fits.

    Args:
        people: see `read`
        name: as the platform or the file has it: an id, a login, an address, or a name in any order of its words
        key: the platform's number, as a column and its value
    """
    if key:
        for person in people:
            if person[key[0]] == key[1]:
                return person
    else:
        wanted = student_id(name).casefold()
        for person in people:
            if wanted in {student_id(person[c]).casefold() for c in ("id", *UNIQUE) if person[c]}:
                return person
    fitting = [person for person in people if _letters(name) in _orders(person["name"])]
    if key and key[0] == "canvas_id":  # one number in all of Canvas; Moodle gives another one in each assignment
        fitting = [person for person in fitting if not person["canvas_id"]]
    return fitting[0] if len(fitting) == 1 and _letters(name) else None


def _letters(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFC", name).casefold() if c.isalnum())


def _orders(name: str) -> set[str]:
    """`Anna Maria Meyer` with its words in turn: Canvas writes the family name first, and all in one word."""
    words = re.split(r"[\s,]+", name)
    return {_letters("".join(words[i:] + words[:i])) for i in range(len(words))}
