"""``python -m tests.faults soak --seconds 600``: seed after seed of simulated faults, ending with a table of counts.

``python -m tests.faults memory --calls 2000000``: one long run in virtual time, ending with a table of memory.

Exit code 1 when something was wrong, with the command that shows it again.
"""

import argparse
import logging
import sys

from rich import print as show

from tests.faults.long_runs import memory, soak
from tests.faults.simulation import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    commands = parser.add_subparsers(dest="command", required=True)
    soak_parser = commands.add_parser("soak", help="seed after seed, for so many seconds")
    soak_parser.add_argument("--seconds", type=float, default=600)
    soak_parser.add_argument("--seed", type=int, default=1, help="the first")
    seed_parser = commands.add_parser("seed", help="one seed, with the router's log")
    seed_parser.add_argument("seed", type=int)
    memory_parser = commands.add_parser("memory", help="one long run without faults, watching memory")
    memory_parser.add_argument("--calls", type=int, default=2_000_000)
    memory_parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.command == "seed":
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        show(simulate(options.seed))
        return 0
    logging.disable(logging.CRITICAL)
    if options.command == "memory":
        return memory(options.calls, options.seed)
    return soak(options.seconds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
