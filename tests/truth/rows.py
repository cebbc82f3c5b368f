"""The rows: models for which the reference knows what is exact, and random designs for which the product form does.

``../shared/references/queueing.md`` is the reference; a test compares the figures here with those printed there.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, combinations
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core.model import Link, Skill, SkillNeed, Strategy, TeamId
from router.simulation.memoryless import Companion, Crew, Kind, MemorylessModel, first_come_first_served
from router.simulation.product_form import ProductForm, SkillDesign, product_form
from tests.truth.figures import (
    Exact,
    Serve,
    abandoning,
    by_team,
    in_time,
    in_time_adjusted,
    occupancy,
    owner_team,
    owner_team_of_offered,
    wait_of_all,
    wait_of_answered,
    waiting,
)
from tests.truth.owner_first import owner_team_first

FIRST, SECOND = TeamId("first"), TeamId("second")


class Row(NamedTuple):
    """A model and its exact figures."""

    name: str
    number: int
    """Of its random stream. For good: a new row takes a new one."""
    model: MemorylessModel
    exact: tuple[Exact, ...]
    warm_up: int
    second: Serve
    """A few lines that share nothing with the engine, and must agree with it on every caller."""

    def __str__(self) -> str:
        return self.name

    @property
    def is_one_queue(self) -> bool:
        """Such as Ciw can play."""
        return len(self.model.kinds) == len(self.model.crews) == 1


# --- One queue: Erlang-B, Erlang-C, Erlang-A -------------------------------------------------------------------------


def one_team(
    load: float, service_s: float, agents: int, patience_s: float | None = None, *, max_wait_s: int | None = None
) -> MemorylessModel:
    team = TeamId("team")
    kind = Kind("calls", load, service_s, patience_s, (Link(team),), max_wait_s=max_wait_s)
    return MemorylessModel([kind], [Crew(team, agents)])


def erlang_b(number: int, agents: int, load: float, lost: float, warm_up: int) -> Row:
    """Whoever finds all agents busy goes at once."""
    model = one_team(load, 180, agents, max_wait_s=0)
    exact = (Exact(abandoning, lost), Exact(occupancy, load * (1 - lost) / agents))
    return Row(f"erlang-b-{agents}", number, model, exact, warm_up, first_come_first_served)


def erlang_c(number: int, model: MemorylessModel, figures: tuple[float, float, float], warm_up: int) -> Row:
    exact = tuple(map(Exact, (waiting, wait_of_all, in_time), figures))
    return Row(f"erlang-c-{model.agents}", number, model, exact, warm_up, first_come_first_served)


ERLANG_A = (waiting, abandoning, wait_of_answered, wait_of_all, in_time, in_time_adjusted, occupancy)


def erlang_a(number: int, model: MemorylessModel, figures: tuple[float, ...], warm_up: int) -> Row:
    exact = tuple(Exact(figure, value) for figure, value in zip(ERLANG_A, figures, strict=True))
    return Row(f"erlang-a-{model.agents}", number, model, exact, warm_up, first_come_first_served)


ERLANG_B_ROWS = (
    erlang_b(10, 4, 3, 0.206106870229, 60),
    erlang_b(11, 10, 8, 0.121661064253, 100),
    erlang_b(12, 20, 22, 0.209045995577, 200),
    erlang_b(13, 110, 100, 0.027463448450, 500),
)
ERLANG_C_ROWS = (
    erlang_c(1, one_team(84, 600, 90), (0.411957314, 41.195731, 0.662717878), 2_500),
    erlang_c(2, one_team(10, 180, 14), (0.174131934, 7.835937, 0.888350019), 150),
    erlang_c(3, one_team(8, 240, 10), (0.409180151, 49.101618, 0.653636480), 360),
)
ERLANG_A_ROWS = (
    erlang_a(
        4,
        one_team(3, 300, 4, 120),
        (0.301925086, 0.140999621, 11.008487, 16.919955, 0.740963358, 0.774119837, 0.644250),
        100,
    ),
    erlang_a(
        5,
        one_team(8, 240, 10, 180),
        (0.268523438, 0.059517598, 9.127935, 10.713168, 0.804380267, 0.824273566, 0.752386),
        200,
    ),
    erlang_a(
        6,
        one_team(22, 300, 20, 180),
        (0.619796118, 0.147696350, 25.097536, 26.585343, 0.512169595, 0.543730701, 0.937534),
        300,
    ),
)

# --- Skills ----------------------------------------------------------------------------------------------------------

N_DESIGN = SkillDesign((2.7 / 240, 1.5 / 240), (3, 3), (1 / 240, 1 / 240), (frozenset({0}), frozenset({0, 1})))
"""Three agents take the first kind only, three take both (Adan & Weiss 2014)."""
N_DESIGN_ROW = Row(
    "n-design",
    7,
    MemorylessModel(
        [Kind("zero", 2.7, 240, None, (Link(FIRST), Link(SECOND))), Kind("one", 1.5, 240, None, (Link(SECOND),))],
        [Crew(FIRST, 3), Crew(SECOND, 3)],
        companions=[Companion((0, 1), 6), Companion((1,), 3)],
    ),
    (
        Exact(waiting, 0.29795316, 0),
        Exact(wait_of_all, 39.727087, 0),
        Exact(owner_team, 0.70439193, 0),
        Exact(waiting, 0.56479857, 1),
        Exact(wait_of_all, 114.204023, 1),
        Exact(owner_team, 1.0, 1),
    ),
    300,
    first_come_first_served,
)

_DESIGN_SERVICE_S = 240.0
# With what is rarer, an interval by Student's t would promise too much.
_RARE = 0.03


def random_design(seed: int) -> SkillDesign:
    """Two to four kinds, two to four teams of up to three agents; who takes what is tossed up until all hangs together.

    The kinds that are worst off keep those who take them busy for 40 to 75 % of the time, so that the design is stable
    and forgets soon.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    kinds, teams = (int(number) for number in rng.integers(2, 5, size=2))
    sizes = tuple(rng.integers(1, 4, size=teams).tolist())
    takes = rng.random((teams, kinds)) < 0.5
    while not _hangs_together(takes):
        takes = rng.random((teams, kinds)) < 0.5
    rates = rng.uniform(0.5, 1.5, size=kinds)
    design = SkillDesign(
        tuple(rates.tolist()),
        sizes,
        (1 / _DESIGN_SERVICE_S,) * teams,
        tuple(frozenset(np.flatnonzero(takes[team]).tolist()) for team in range(teams)),
    )
    _, busiest = bottleneck(design)
    rates *= rng.uniform(0.4, 0.75) / busiest
    return design._replace(arrival_rates=tuple(rates.tolist()))


def _hangs_together(takes: NDArray[np.bool_]) -> bool:
    """Whether every team takes something, and all kinds compete, if only by way of others."""
    rivals = takes.T.astype(int) @ takes
    return bool(takes.any(axis=1).all() and np.linalg.matrix_power(rivals, len(rivals)).all())


def bottleneck(design: SkillDesign) -> tuple[tuple[int, ...], float]:
    """The kinds that are worst off, and for how much of their time they keep those who take them busy."""
    kinds = range(len(design.arrival_rates))
    some = chain.from_iterable(combinations(kinds, count) for count in range(1, len(kinds) + 1))
    return max(((each, _busy_share(design, each)) for each in some), key=lambda pair: pair[1])


def _busy_share(design: SkillDesign, kinds: tuple[int, ...]) -> float:
    speed = sum(
        size * rate
        for size, rate, takes in zip(design.team_sizes, design.service_rates, design.takes, strict=True)
        if not takes.isdisjoint(kinds)
    )
    return sum(design.arrival_rates[kind] for kind in kinds) / speed


def design_row(seed: int) -> Row:
    """A random design, with its product form for the truth."""
    design = random_design(seed)
    teams = range(len(design.team_sizes))
    names = [TeamId(f"team-{team}") for team in teams]
    able = [[team for team in teams if kind in design.takes[team]] for kind in range(len(design.arrival_rates))]
    worst, busy = bottleneck(design)
    agents = sum(design.team_sizes)
    agents_of_worst = sum(
        size for size, takes in zip(design.team_sizes, design.takes, strict=True) if takes & set(worst)
    )
    companions = {(tuple(range(len(able))), agents), (worst, agents_of_worst)}
    model = MemorylessModel(
        [
            Kind(
                f"kind-{kind}",
                design.arrival_rates[kind] * _DESIGN_SERVICE_S,
                _DESIGN_SERVICE_S,
                None,
                tuple(Link(names[team]) for team in able[kind]),
            )
            for kind in range(len(able))
        ],
        [Crew(name, size) for name, size in zip(names, design.team_sizes, strict=True)],
        [Companion(*companion) for companion in sorted(companions)],
    )
    # Five times what the queue of the worst off takes to forget, had they one agent as fast as all of theirs.
    forgets_s = _DESIGN_SERVICE_S / agents_of_worst / (1 - sqrt(busy)) ** 2
    return Row(
        f"design-{seed}",
        10_000 + seed,
        model,
        tuple(_law_of(product_form(design), able)),
        ceil(5 * max(forgets_s, _DESIGN_SERVICE_S) * sum(design.arrival_rates)),
        first_come_first_served,
    )


def _law_of(law: ProductForm, able: list[list[int]]) -> Iterator[Exact]:
    for kind, teams in enumerate(able):
        if law.waiting[kind] > _RARE:
            yield Exact(waiting, law.waiting[kind], kind)
            yield Exact(wait_of_all, law.wait_s[kind], kind)
        # One team's share follows from those of the others.
        for team in teams[1:]:
            if _RARE < law.shares[kind][team] < 1 - _RARE:
                yield Exact(by_team(team), law.shares[kind][team], kind)


# --- Teams able to take each other's portfolios ----------------------------------------------------------------------


def owner_teams(
    teams: int,
    agents: int,
    kind: Kind,
    *,
    after_s: int | None = 0,
    own_first: bool = True,
    strategy: Strategy = Strategy.MOST_SKILLED,
    head_start_s: int = 0,
) -> MemorylessModel:
    """Teams alike, each with a portfolio like *kind*; the others may take its calls *after_s* (None: never).

    By `most_skilled`, a call that others may take at once is still offered to its owner team first. *head_start_s* is
    that of the last portfolio.
    """
    names = [FIRST, SECOND] if teams == 2 else [TeamId(f"team-{team}") for team in range(teams)]
    others = [[Link(other, after_s) for other in names if other != own] if after_s is not None else [] for own in names]
    return MemorylessModel(
        [
            kind._replace(
                name=own,
                teams=(Link(own), *others[team]),
                skills=(SkillNeed(Skill(own)),),
                head_start_s=head_start_s if team == teams - 1 else 0,
            )
            for team, own in enumerate(names)
        ],
        [
            Crew(
                own,
                agents,
                {Skill(each): 2 if each == own else 1 for each in names},
                own_first=own_first,
                strategy=strategy,
            )
            for own in names
        ],
    )


TWO_TEAMS = Kind("", 8, 240, 180, ())
SIX_TEAMS = Kind("", 3, 300, 120, ())

# Who serves whom in which order makes no difference to these: all agents are alike, and so is all patience.
POOLED_LOST = 0.02617864
POOLED = (
    Exact(waiting, 0.17817830),
    Exact(abandoning, POOLED_LOST),
    Exact(wait_of_all, 4.71215555),
    # By Little's law: those who are not lost, and how long they talk.
    Exact(occupancy, 0.8 * (1 - POOLED_LOST)),
)

INVARIANCE_ROWS = (
    Row(
        "two-teams-own-first", 8, owner_teams(2, 10, TWO_TEAMS),
        (*POOLED, Exact(owner_team, 0.85109565), Exact(in_time, 0.9029, doubt=0.001)), 150, owner_team_first,
    ),
    # The owner share is that of a chain (`chains.two_teams`), the service level that of one queue for all agents.
    Row(
        "two-teams-one-queue", 9, owner_teams(2, 10, TWO_TEAMS, own_first=False),
        (*POOLED, Exact(owner_team, 0.81820037), Exact(in_time, 0.89635527)), 150, owner_team_first,
    ),
    Row(
        "two-teams-head-start", 14, owner_teams(2, 10, TWO_TEAMS, own_first=False, head_start_s=60),
        POOLED, 150, owner_team_first,
    ),
    Row(
        "two-teams-head-start-own-first", 15, owner_teams(2, 10, TWO_TEAMS, head_start_s=60),
        POOLED, 150, owner_team_first,
    ),
)  # fmt: skip

TWO_TEAMS_ALONE = 0.059517598
"""Lost by a team that nobody helps: Erlang-A with ten agents."""
SIX_TEAMS_ALONE = 0.140999621


def owner_first_row(
    number: int, model: MemorylessModel, figures: tuple[float, float, float], alone: float, pooled: float
) -> Row:
    """Service level, lost and owner share, known by simulation where others may help; bounds that nobody can beat."""
    after = model.kinds[0].teams[1:]
    teams = {2: "two", 6: "six"}[len(model.crews)]
    exact = (
        *(
            Exact(figure, value, doubt=0.001 if after else 0.0)
            for figure, value in zip((in_time, abandoning, owner_team), figures, strict=True)
        ),
        Exact(owner_team_of_offered, 1 - alone, relation="<="),
        Exact(abandoning, pooled, relation=">="),
    )
    name = f"{teams}-teams-{f'after-{after[0].after_s}' if after else 'never'}"
    return Row(name, number, model, exact, 150, owner_team_first)


SIX_TEAMS_POOLED = 0.015783263
"""Lost by one queue for all 24 agents: Erlang-A."""

OWNER_FIRST_ROWS = (
    *(
        owner_first_row(
            20 + place, owner_teams(2, 10, TWO_TEAMS, after_s=after_s), figures, TWO_TEAMS_ALONE, POOLED_LOST
        )
        for place, (after_s, figures) in enumerate(
            (
                (5, (0.9005, 0.0288, 0.8724)),
                (10, (0.8979, 0.0312, 0.8897)),
                (15, (0.8948, 0.0335, 0.9042)),
                (40, (0.8157, 0.0432, 0.9502)),
                (60, (0.8096, 0.0488, 0.9703)),
                (None, (0.804380267, TWO_TEAMS_ALONE, 1.0)),
            )
        )
    ),
    *(
        owner_first_row(
            30 + place, owner_teams(6, 4, SIX_TEAMS, after_s=after_s), figures, SIX_TEAMS_ALONE, SIX_TEAMS_POOLED
        )
        for place, (after_s, figures) in enumerate(
            (
                (0, (0.9556, 0.0158, 0.6424)),
                (5, (0.9468, 0.0266, 0.6792)),
                (10, (0.9386, 0.0364, 0.7117)),
                (15, (0.9310, 0.0452, 0.7402)),
                (None, (0.740963358, SIX_TEAMS_ALONE, 1.0)),
            )
        )
    ),
)

ROWS = (*ERLANG_B_ROWS, *ERLANG_C_ROWS, *ERLANG_A_ROWS, N_DESIGN_ROW, *INVARIANCE_ROWS, *OWNER_FIRST_ROWS)


def rows_named(names: Iterable[str]) -> list[Row]:
    """Rows of the reference, or ``design-SEED``.

    Raises:
        ValueError: There is no such row.
    """
    known = {row.name: row for row in ROWS}
    found = []
    for name in names:
        word, _, seed = name.partition("-")
        if name in known:
            found.append(known[name])
        elif word == "design" and seed.isdigit():
            found.append(design_row(int(seed)))
        else:
            raise ValueError(f"there is no row {name!r}; there are {', '.join(known)} and design-SEED")
    return found
