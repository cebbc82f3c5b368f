"""Tables in CSV files: UTF-8, plain or gzipped, separated by comma, semicolon or tab, with a header line.

An empty cell leaves a field at its default. Every mistake is noted with file, row and column, and reading goes on.
"""

import csv
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
from msgspec import Struct

from router.core.errors import Problem
from router.reading import (
    Lines,
    Note,
    StructT,
    fields_of,
    note_unknown,
    noter,
    opened,
    read_row,
    reason_of,
    split_of,
)

__all__ = ["rows_in_csv"]

# One wrong column of ten million clients would fill the memory with problems; nobody reads more than this.
_PROBLEMS_MAX = 10_000


def rows_in_csv(path: Path, name: str, kind: type[StructT], problems: list[Problem]) -> Iterator[StructT]:
    """The rows of a file, each with its fields and ``where`` it stands; one that cannot be read is left out.

    Args:
        path: The file.
        name: What it is called in problems.
        kind: What a row is.
        problems: Grows by what is wrong, as the rows are read.
    """
    lists = [(field.name, split) for field in fields_of(kind).values() if (split := split_of(field.type))]
    for where, table in _tables_in_csv(path, name, kind, problems):
        try:  # The whole row at once; field by field takes ten times as long, and finds all that is wrong.
            whole = table | {column: split(table[column]) for column, split in lists if column in table}
            row = msgspec.convert(whole | {"where": where}, kind, strict=False)
        except (msgspec.ValidationError, ValueError):
            mended = read_row(kind, table, noter(problems, where), where=where, from_text=True)
            if mended is None:
                continue
            row = mended
        yield row


def _tables_in_csv(
    path: Path, name: str, kind: type[Struct], problems: list[Problem]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row stands, and its filled cells by column. As in a spreadsheet, row 1 is the header."""
    number = 0
    try:
        with opened(path) as text:
            lines = Lines(text)
            header = next(lines, "")
            reader = csv.reader(chain([header], lines), delimiter=max(",;\t", key=header.count))
            columns = [cell.strip() for cell in next(reader, [])]
            known = _known_columns(columns, kind, noter(problems, f"{name}, row 1"))
            if not known:
                return
            for number, cells in enumerate(reader, start=2):
                lines.row_length = 0
                if len(problems) >= _PROBLEMS_MAX:
                    message = f"{len(problems)} problems so far, so the rest was not read: mend these first"
                    problems.append(Problem(f"{name}, from row {number}", "", message))
                    return
                if not any(cells):
                    continue
                where = f"{name}, row {number}"
                if len(cells) == len(columns):
                    filled = zip(known, map(str.strip, cells), strict=True)
                    yield where, {column: cell for column, cell in filled if cell and column}
                else:
                    message = f"has {len(cells)} cells, the header has {len(columns)}: mend its separators"
                    problems.append(Problem(where, "", message))
    except FileNotFoundError:
        problems.append(Problem(name, "", f"there is no such file: looked for {path}"))
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text ({error.reason}): save it as 'CSV UTF-8'"
        problems.append(Problem(f"{name}, after row {number}" if number else name, "", message))
    except csv.Error as error:
        problems.append(Problem(f"{name}, after row {number}" if number else name, "", f"is not CSV: {error}"))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        problems.append(
            Problem(f"{name}, after row {number}" if number else name, "", f"cannot be read: {reason_of(error)}")
        )


def _known_columns(columns: list[str], kind: type[Struct], note: Note) -> list[str]:
    """The columns, with "" for those to skip; empty if the rows cannot be read."""
    fields = fields_of(kind)
    if not any(columns):
        note("", f"the header line is missing: name the columns, such as {','.join(fields)}")
        return []
    note_unknown([column for column in columns if column], fields, "column", note)
    if "" in columns:
        note("", f"column {columns.index('') + 1} has no name: name it, or remove it")
    missing = [name for name, field in fields.items() if field.required and name not in columns]
    doubled = [name for name in fields if columns.count(name) > 1]
    for name in missing:
        note(name, "this column is missing: add it to the header line")
    for name in doubled:
        note(name, "this column stands twice: keep one")
    if missing or doubled:
        return []
    return [column if column in fields else "" for column in columns]
