"""Changing ownerships in the clients' CSV file, and taking the last change back.

A row that does not change keeps every byte, whatever its separator, quotes and line end; a new row follows the one
whose ownership it continues. The file is replaced as a whole: written beside, brought to disk, renamed, so that the
router reads the one version or the other. The version before stays beside it as ``clients.csv.before``, with
``clients.csv.change``, which says what was done and what the file then was. Both hold what the file holds, telephone
numbers included, and are as readable as that is.
"""

import csv
import gzip
import hashlib
import io
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from router.core.model import Client, ClientId, Ownership
from router.planning.handover import Change, PlanningError
from router.reading import reason_of

__all__ = ["ClientsFile", "undo"]

_LINE_END: Final = re.compile(r"(\r\n|\n|\r)?\Z")
_OWNERSHIP: Final = ("owner", "backups", "valid_from", "valid_until")


class _Change(Struct, frozen=True, kw_only=True):
    """The last change of a clients' file, so that it can be taken back."""

    what: str
    before: str
    """SHA-256 of the file before, in hexadecimal."""
    after: str


class _Record(NamedTuple):
    """A row of the file."""

    text: str
    """As it stands there, its line end included."""
    cells: list[str]


class ClientsFile:
    """The clients' file as it was when this was made.

    Args:
        path: CSV, perhaps ``.gz``.

    Raises:
        PlanningError: It is not text, or cannot be unpacked.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        # Of a link, what it leads to is replaced.
        self.path = path.resolve()
        self._bytes = self.path.read_bytes()
        try:
            raw = gzip.decompress(self._bytes) if self.path.suffix == ".gz" else self._bytes
            self._text = raw.decode()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise PlanningError(f"{path} cannot be read: {reason_of(error)}") from error

    def with_changes(self, clients: Mapping[ClientId, Client], changes: Mapping[ClientId, Change]) -> bytes:
        """The file with changed ownerships.

        Args:
            clients: The changed clients as they were read from this file.
            changes: What becomes of them.

        Raises:
            PlanningError: A client stands elsewhere, or the file has no column for what is to be written.
        """
        records = list(_records(self._text))
        table = _Table(self.path.name, records[0] if records else _Record("", []))
        rows = _rows_by_client(records, table, changes)
        replaced: dict[int, str] = {}
        for client_id, change in changes.items():
            ownerships = clients[client_id].ownerships
            found = rows.get(client_id, [])
            if [table.ownership_in(records[row].cells) for row in found] != [_cells_of(each) for each in ownerships]:
                raise PlanningError(
                    f"client {client_id} does not stand in {self.path.name} alone, so this cannot write it: move the "
                    "clients of the .toml file to the file that clients_file names, a row each"
                )
            for row, before, pieces in zip(found, ownerships, change, strict=True):
                if pieces != (before,):
                    replaced[row] = table.rewritten(records[row], pieces)
        text = "".join(replaced.get(row, record.text) for row, record in enumerate(records))
        # Without the time, so that the same change makes the same bytes.
        return gzip.compress(text.encode(), mtime=0) if self.path.suffix == ".gz" else text.encode()

    def replace(self, content: bytes, *, what: str) -> None:
        """Make *content* the file, and keep what it was for `undo`.

        Interrupted at any point, it leaves the file as it was or as it is to be.

        Args:
            content: From `with_changes`.
            what: In words, for whoever takes it back.

        Raises:
            PlanningError: The file has changed since it was read.
            OSError: Something cannot be written.
        """
        if self.path.read_bytes() != self._bytes:
            raise PlanningError(f"{self.path} has changed meanwhile, so nothing was written: run this again")
        change = _Change(what=what, before=_digest(self._bytes), after=_digest(content))
        _replace(_kept(self.path), self._bytes, like=self.path)
        _replace(_change_of(self.path), msgspec.json.encode(change), like=self.path)
        _replace(self.path, content, like=self.path)


def undo(path: Path) -> str:
    """Make the clients' file what it was before the last change, byte for byte.

    Returns:
        What was taken back, in words.

    Raises:
        PlanningError: There is nothing to take back, or the file has been changed since.
        OSError: Something cannot be read or written.
    """
    path = path.resolve()
    kept, noted = _kept(path), _change_of(path)
    try:
        change = msgspec.json.decode(noted.read_bytes(), type=_Change)
        before = kept.read_bytes()
    except FileNotFoundError:
        raise PlanningError(f"there is nothing to take back: no command has changed {path}, or it was undone") from None
    except msgspec.DecodeError as error:
        raise PlanningError(
            f"{noted} is damaged; the version before is {kept}: compare, and copy it yourself"
        ) from error
    if _digest(before) != change.before:
        raise PlanningError(f"{kept} is not what was kept there, so it was not put back: look for a backup of {path}")
    now = _digest(path.read_bytes())
    if now not in (change.after, change.before):
        raise PlanningError(
            f"{path} has been changed since ({change.what}), and taking that back would lose the later changes: the "
            f"version before is {kept}; compare the two, and mend it by hand"
        )
    if now == change.after:
        _replace(path, before, like=path)
    noted.unlink()
    kept.unlink()
    return change.what


class _Table:
    """The columns of a file, and how its rows are written."""

    def __init__(self, name: str, header: _Record) -> None:
        self._name = name
        self._delimiter = _delimiter(header.text)
        self._line_end = _line_end(header.text)
        self._columns = [cell.strip() for cell in header.cells]

    def ownership_in(self, cells: list[str]) -> tuple[str, ...]:
        """The cells of `_OWNERSHIP`, their lists in the form of `_cells_of`."""
        found = {column: cell.strip() for column, cell in zip(self._columns, cells, strict=False)}
        owner, backups, valid_from, valid_until = (found.get(column, "") for column in _OWNERSHIP)
        return owner, " ".join(re.split(r"[\s,;]+", backups.strip(" ,;"))), valid_from, valid_until

    def client_in(self, cells: list[str]) -> str:
        place = self._columns.index("client_id")
        return cells[place].strip() if len(cells) == len(self._columns) else ""

    def rewritten(self, record: _Record, pieces: tuple[Ownership, ...]) -> str:
        """The record with the first piece as its ownership, and one more for each further piece."""
        own_end = _line_end(record.text)
        # The last row of a file may have no line end, but one that follows it needs one in between.
        between = own_end or self._line_end
        # Where every cell is quoted, the new ones are too.
        all_quoted = record.text.count('"') >= 2 * len(record.cells)
        empty = dict.fromkeys(range(len(self._columns)), "")
        place = self._columns.index("client_id")
        lines = []
        for number, piece in enumerate(pieces):
            cells: dict[int, Any] = (
                dict(enumerate(record.cells)) if number == 0 else empty | {place: record.cells[place]}
            )
            for column, text, before in zip(
                _OWNERSHIP, _cells_of(piece), self.ownership_in(list(cells.values())), strict=True
            ):
                if text != before:
                    cells[self._place_of(column)] = text
            line = io.StringIO(newline="")
            csv.writer(
                line,
                delimiter=self._delimiter,
                lineterminator="",
                quoting=csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL,
            ).writerow(cells.values())
            lines.append(line.getvalue())
        return between.join(lines) + own_end

    def _place_of(self, column: str) -> int:
        if column not in self._columns:
            raise PlanningError(
                f"{self._name} has no column {column}, which this change needs: add it to the header line, and a "
                "cell for it, empty, to every row, as a spreadsheet does; then run this again"
            )
        return self._columns.index(column)


def _cells_of(ownership: Ownership) -> tuple[str, ...]:
    dates: tuple[date | None, ...] = (ownership.valid_from, ownership.valid_until)
    return ownership.owner or "", " ".join(ownership.backups), *("" if day is None else str(day) for day in dates)


def _records(text: str) -> Iterator[_Record]:
    """The rows of *text* as `router.organisation_files` reads them; joined, they are the text again."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            # What spreadsheets put first belongs to no column's name.
            yield line.removeprefix("\ufeff")

    first = next(iter(io.StringIO(text, newline="")), "")
    for cells in csv.reader(lines(), delimiter=_delimiter(first)):
        yield _Record("".join(taken), cells)
        taken.clear()


def _line_end(text: str) -> str:
    found = _LINE_END.search(text)
    assert found is not None, "it finds the empty end too"
    return found[0]


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _rows_by_client(
    records: list[_Record], table: _Table, changes: Mapping[ClientId, Change]
) -> Mapping[str, list[int]]:
    """Of each changed client, the rows that say an ownership."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, record in enumerate(records[1:], start=1):
        client_id = table.client_in(record.cells)
        if client_id in changes and any(table.ownership_in(record.cells)):
            rows[client_id].append(row)
    return rows


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.before")


def _change_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.change")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes, *, like: Path) -> None:
    """Write a whole file or nothing, with the owner and the rights of *like*, and bring it to disk."""
    status = like.stat()
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        beside = Path(file.name)
        try:
            file.write(content)
            os.fchmod(file.fileno(), status.st_mode & 0o777)
            if (status.st_uid, status.st_gid) != (os.fstat(file.fileno()).st_uid, os.fstat(file.fileno()).st_gid):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            file.flush()
            os.fsync(file.fileno())
            beside.replace(path)
        except PermissionError as error:
            beside.unlink(missing_ok=True)
            raise PlanningError(f"{like} belongs to another user: run this as that user, or as root") from error
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
