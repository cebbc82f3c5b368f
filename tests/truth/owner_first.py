"""Owner teams first, other teams after a time, by a few lines that share nothing with the engine.

Each kind of call has an owner team, and all other teams may take it once it has waited for ``after_s``. A call goes to
an idle agent of its owner team if there is one, else to whoever has been idle longest. A freed agent takes own calls
first where the team says so, then the call that came first of those that may be taken, less their kinds' head starts.
"""

from collections import deque
from heapq import heappop, heappush

import numpy as np

from router.simulation.memoryless import CallerDraw, Fates, MemorylessModel

__all__ = ["owner_team_first"]

# Of one moment, calls become open to others first, then people leave, then callers arrive; as on the virtual floor.
_OPENS, _FREED, _HANGS_UP, _ARRIVES = range(4)


def owner_team_first(model: MemorylessModel, draw: CallerDraw) -> Fates:
    """Kind number k belongs to crew number k."""
    after = {link.after_s for kind in model.kinds for link in kind.teams[1:]}
    assert len(after) <= 1, "one time for all"
    assert all(kind.teams[0].team_id == crew.team_id for kind, crew in zip(model.kinds, model.crews, strict=True))
    after_ms = after.pop() * 1000 if after else None
    teams = range(len(model.crews))
    own_first = [crew.own_first for crew in model.crews]
    head_start_ms = [kind.head_start_s * 1000 for kind in model.kinds]
    first_agent = np.cumsum([0, *(crew.agents for crew in model.crews)]).tolist()
    # Since when, and who: the longest idle first.
    idle = [deque((0, agent) for agent in range(first_agent[team], first_agent[team + 1])) for team in teams]
    queues: list[deque[int]] = [deque() for _ in teams]
    kinds, arrived, service = draw.kind.tolist(), draw.arrived_ms.tolist(), draw.service_ms.tolist()
    patience = None if draw.patience_ms is None else draw.patience_ms.tolist()
    count = len(kinds)
    wait_ms, agents, queued = [0] * count, [-1] * count, [False] * count
    is_waiting = [False] * count
    events = [(at_ms, _ARRIVES, number, number) for number, at_ms in enumerate(arrived)]

    def connect(call: int, team: int, now_ms: int) -> None:
        _, agent = idle[team].popleft()
        wait_ms[call], agents[call], is_waiting[call] = now_ms - arrived[call], agent, False
        heappush(events, (now_ms + service[call], _FREED, call, agent))

    def ask_others(call: int, now_ms: int) -> bool:
        others = [(idle[team][0], team) for team in teams if team != kinds[call] and idle[team]]
        if others:
            connect(call, min(others)[1], now_ms)
        return bool(others)

    def next_for(team: int, now_ms: int) -> int | None:
        for queue in queues:
            while queue and not is_waiting[queue[0]]:
                queue.popleft()
        if queues[team] and own_first[team]:
            return queues[team].popleft()
        heads = [
            (arrived[queue[0]] - head_start_ms[kind], queue[0], kind)
            for kind, queue in enumerate(queues)
            if queue and (kind == team or (after_ms is not None and now_ms - arrived[queue[0]] >= after_ms))
        ]
        return queues[min(heads)[2]].popleft() if heads else None

    while events:
        now_ms, what, _, who = heappop(events)
        if what == _ARRIVES:
            team = kinds[who]
            if idle[team]:
                connect(who, team, now_ms)
            elif after_ms != 0 or not ask_others(who, now_ms):
                is_waiting[who] = queued[who] = True
                queues[team].append(who)
                if after_ms:
                    heappush(events, (now_ms + after_ms, _OPENS, who, who))
                if patience is not None:
                    heappush(events, (now_ms + patience[who], _HANGS_UP, who, who))
        elif what == _OPENS:
            if is_waiting[who]:
                ask_others(who, now_ms)
        elif what == _HANGS_UP:
            if is_waiting[who]:
                wait_ms[who], is_waiting[who] = now_ms - arrived[who], False
        else:
            team = int(model.team_of_agent[who])
            call = next_for(team, now_ms)
            # Whoever has just been freed is the only idle agent of a team with a call to take.
            idle[team].append((now_ms, who))
            if call is not None:
                connect(call, team, now_ms)
    return Fates(np.array(wait_ms), np.array(agents), np.array(queued))
