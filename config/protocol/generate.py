"""Writes ``agents.csv``: people who are invented, in the teams of ``organisation.toml``.

python config/protocol/generate.py [DIRECTORY]
"""

import sys
from pathlib import Path

TEAMS = (("lecce", "L", 110), ("cagliari", "C", 100), ("tirana", "T", 85), ("roma", "R", 75))
"""Team, first letter of its agents' ids, and how many they are."""


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8", newline="")


def files() -> dict[str, str]:
    rows = [f"{letter}{number:03},{team}" for team, letter, size in TEAMS for number in range(1, size + 1)]
    return {"agents.csv": "\n".join(["agent_id,team_id", *rows]) + "\n"}


if __name__ == "__main__":
    main()
