"""Compiles the engine where asked to, with ``ROUTER_COMPILED=1``; all else stands in pyproject.toml.

mypyc makes C of the very sources that Python runs otherwise: the same decisions, in less than half the time. It needs a
C compiler and Python's headers, which is why nobody is made to use it.
"""

import os

from setuptools import setup

# Those on the way of every call. Left out are modules with types that msgspec reads (events, decisions, values, the
# engine's state as plain data): of their annotations, mypyc keeps too little.
COMPILED = (
    "core/deadlines",
    "core/engine",
    "core/gates",
    "core/handling",
    "core/holds",
    "core/hours",
    "core/matching",
    "core/members",
    "core/orders",
    "core/organisation",
    "core/plans",
    "core/prospects",
    "core/queues",
    "core/roster",
    "core/state",
    "core/tallies",
    "core/waiting",
    "simulation/floor",
)

if os.environ.get("ROUTER_COMPILED") == "1":
    from mypyc.build import mypycify

    setup(ext_modules=mypycify([f"router/{name}.py" for name in COMPILED], opt_level="3"))
else:
    setup()
