"""Compiles the engine where asked to, with ``ROUTER_COMPILED=1``; all else stands in pyproject.toml.

mypyc makes C of the very sources that Python runs otherwise: the same decisions, in less than half the time. It needs a
C compiler and Python's headers, which is why nobody is made to use it.
"""

import os

from setuptools import setup

# Those on the way of every call. Left out are modules with types that msgspec reads (events, decisions, values, the
# engine's state as plain data): of their annotations, mypyc keeps too little.
COMPILED = (
    "deadlines",
    "engine",
    "gates",
    "handling",
    "holds",
    "hours",
    "matching",
    "members",
    "orders",
    "organisation",
    "plans",
    "queues",
    "roster",
    "state",
    "tallies",
    "waiting",
)

if os.environ.get("ROUTER_COMPILED") == "1":
    from mypyc.build import mypycify

    setup(ext_modules=mypycify([f"router/core/{name}.py" for name in COMPILED], opt_level="3"))
else:
    setup()
