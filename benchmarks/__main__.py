"""``python -m benchmarks [name] [--tiny] [--json]``: runs one benchmark, the engine's unless told otherwise."""

import argparse

from benchmarks import engine, owner_wait, quality, recovery, simulation

BENCHMARKS = {
    "engine": engine.main,
    "owner_wait": owner_wait.main,
    "quality": quality.main,
    "recovery": recovery.main,
    "simulation": simulation.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), default="engine")
    parser.add_argument(
        "--tiny", action="store_true", help="a run of a second, to see that it works; no figures to quote"
    )
    parser.add_argument("--json", action="store_true", help="print JSON rather than a table")
    arguments = parser.parse_args()
    BENCHMARKS[arguments.name](tiny=arguments.tiny, as_json=arguments.json)


if __name__ == "__main__":
    main()
