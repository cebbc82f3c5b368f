"""``python -m tests.truth``: every row at length, as a table of what is exact and what was found.

``python -m tests.truth design-7 erlang-a-20 --size 4``: these rows alone, with intervals half as wide.

Exit code 1 when something exact lies outside of an interval, or a caller fared otherwise than the second way says, with
the command that shows it again.
"""

import argparse
import os
import sys

from tests.truth.long_table import run
from tests.truth.rows import ROWS, rows_named


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.truth")
    parser.add_argument("rows", nargs="*", help="names of rows, such as erlang-a-20 or design-7; none: all")
    parser.add_argument("--size", type=float, default=1.0, help="four times as much makes intervals half as wide")
    parser.add_argument("--designs", type=int, default=12, help="how many random designs, if no rows are named")
    parser.add_argument("--seed", type=int, default=1, help="of the first random design")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    designs = range(options.seed, options.seed + options.designs)
    names = options.rows or [*(row.name for row in ROWS), *(f"design-{seed}" for seed in designs)]
    try:
        rows = rows_named(names)
    except ValueError as error:
        parser.error(str(error))
    return run(rows, size=options.size, processes=options.processes)


if __name__ == "__main__":
    sys.exit(main())
