"""``python -m tests.fuzz --payloads N --seed S``: feeds N payloads to the decoder and the engine, and counts.

``--guided`` needs atheris (``make fuzz`` installs it), which keeps and mutates what reaches new lines. Without it
payloads are made and spoilt at random, which is what the test suite does. Ends with a table; exit code 1 if anything is
wrong, and then ``--repeat FILE`` feeds the same messages again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any, NoReturn

HELP = __doc__
GROWTH_MAX = 1.05, 4.0
"""How much memory may grow from a tenth of the payloads to all of them: 5 %, and 4 MB for what the allocator rounds up.
Fifty bytes kept of each payload that is accepted would come to 20 MB in a million."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=HELP)
    parser.add_argument("--payloads", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true", help="let atheris choose by what is covered")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="feed what a run that went wrong has left")
    arguments = parser.parse_args()
    if arguments.repeat is not None:
        repeat(arguments.repeat)
    elif arguments.guided:
        guided(arguments.payloads, arguments.seed)
    else:
        unguided(arguments.payloads, arguments.seed)


def unguided(payloads: int, seed: int) -> NoReturn:
    from tests.fuzz.payloads import mutated

    random = Random(seed)
    run = Run(payloads, f"{payloads} payloads, seed {seed}, unguided", keep=True)
    while True:
        message = run.world.platform.next(random)
        if random.random() < 0.4:
            message = run.world.platform.spoil(message, random, lambda data: mutated(data, random))
        run.feed(message)


def guided(payloads: int, seed: int) -> NoReturn:
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # only there where `make fuzz` has put it

    with atheris.instrument_imports(include=["router"]):
        import tests.fuzz.world  # noqa: F401 - what it imports is instrumented meanwhile

    from tests.fuzz.payloads import Message

    run = Run(payloads, f"{payloads} payloads, seed {seed}, guided by atheris", keep=True, judge_apart=True)
    platform = run.world.platform

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        random = Random(seed)
        # Sense first: without it hardly any event fits the state, and the engine is never seen at work.
        # A reload takes as long as 300 other events, and forgets what has piled up: few of those that are kept.
        sense = 0.97 if b"reload_requested" in data else 0.6
        message = platform.next(random) if random.random() < sense else Message.unpack(data)
        if random.random() < 0.5:
            message = platform.spoil(message, random, lambda some: bytes(atheris.Mutate(some, len(some) + 64)))
        return message.pack()[:size_max]

    corpus = run.folder / "corpus"
    corpus.mkdir()
    random = Random(seed)
    for number in range(500):
        (corpus / f"{number:03}").write_bytes(platform.next(random).pack())
    options = ["-max_len=24000", "-verbosity=0", f"-seed={seed}"]
    atheris.Setup(
        ["fuzz", *options, f"-artifact_prefix={run.folder}/", str(corpus)],
        lambda data: run.feed(Message.unpack(data)),
        custom_mutator=mutate,
    )
    atheris.Fuzz()
    raise AssertionError("the fuzzing engine stopped before the run was over")


class Run:
    """A number of payloads fed to a world, and the report of it. Ends the process: so does the fuzzing engine.

    Args:
        payloads: How many there will be.
        title: Over the report.
        keep: Whether what is fed is kept until the end, for repeating it.
        judge_apart: Feed all of it again to a process without the fuzzing engine, which grows by itself, and take that
            one's memory. Its counts must be the same, or the router is not deterministic.
    """

    def __init__(self, payloads: int, title: str, *, keep: bool = False, judge_apart: bool = False) -> None:
        from tests.fuzz.world import History, World

        self.folder = Path(tempfile.mkdtemp(prefix="router-fuzz-"))
        self._history = History(self.folder / "history") if keep else None
        self.world = World(self._history)
        self._title = title
        self._payloads = payloads
        self._judge_apart = judge_apart
        self._fed = 0
        self._started_s = time.perf_counter()
        self._resident_mb: list[float] = []

    def feed(self, message: Any) -> None:
        from tests.fuzz.world import resident_mb

        try:
            self.world.feed(message)
        except Exception:
            self._fail(traceback.format_exc())
        self._fed += 1
        if self._fed % max(1, self._payloads // 10) == 0:
            self._resident_mb.append(resident_mb())
            if self._payloads >= 100_000:
                print(f"{self._fed} payloads, {self._resident_mb[-1]:.0f} MB", file=sys.stderr, flush=True)
        if self._fed == self._payloads:
            self._finish()

    def _finish(self) -> NoReturn:
        rate = self._fed / (time.perf_counter() - self._started_s)
        table = self._table()
        wrong = []
        if sum(self.world.counts.values()) != self._payloads:
            wrong.append(f"not {self._payloads} payloads are accounted for")
        print(f"{self._title}\n{table}\n{rate:.0f} payloads/s, crashes 0, hangs 0")
        if self._judge_apart:
            assert self._history is not None, "what is judged apart was kept"
            command = [sys.executable, "-m", "tests.fuzz", "--repeat", str(self._history.path)]
            judged = subprocess.run(command, capture_output=True, text=True, check=False)
            print(judged.stdout.replace(table, "the same counts"), end="")
            if table not in judged.stdout:
                wrong.append("the counts differ when the same is fed again")
            if judged.returncode != 0:
                wrong.append("see above")
        else:
            first_mb, last_mb = self._resident_mb[0], self._resident_mb[-1]
            bound_mb = first_mb * GROWTH_MAX[0] + GROWTH_MAX[1]
            print(f"resident memory: {first_mb:.1f} MB after a tenth, {last_mb:.1f} at the end, {bound_mb:.1f} allowed")
            # Less than that, and it has not come to its size after a tenth.
            if last_mb > bound_mb and self._payloads >= 500_000:
                wrong.append("memory grows")
        for each in wrong:
            print(f"WRONG: {each}")
        self._leave(1 if wrong else 0)

    def _table(self) -> str:
        counts = self.world.counts
        width = max(map(len, counts))
        rows = [*sorted(counts.items()), ("total", sum(counts.values()))]
        decided = ", ".join(f"{count} {what}" for what, count in sorted(self.world.decisions.items()))
        return "\n".join(f"  {what:{width}} {count:>10}" for what, count in rows) + f"\ndecisions: {decided}"

    def _fail(self, what: str) -> NoReturn:
        print(f"{what}\nWRONG: payload {self._fed + 1} of {self._title}: the above came out")
        if self._history is not None:
            kept = Path(f"fuzz-{os.getpid()}.history")
            shutil.copy(self._history.path, kept)
            print(f"It and all before it are in {kept}; repeat with: python -m tests.fuzz --repeat {kept}")
        self._leave(1)

    def _leave(self, code: int) -> NoReturn:
        shutil.rmtree(self.folder)
        sys.stdout.flush()
        sys.stderr.flush()
        # The fuzzing engine would take SystemExit for a crash of what it fuzzes.
        os._exit(code)


def repeat(path: Path) -> None:
    """Feed what is in *path*: what came out of the run that left it comes out again."""
    from tests.fuzz.world import History

    run = Run(sum(1 for _ in History.read(path)), f"fed again without a fuzzing engine: {path.name}")
    for message in History.read(path):
        run.feed(message)


if __name__ == "__main__":
    main()
