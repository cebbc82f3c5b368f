"""Real faults with real processes: a router and a broker that are killed, stopped and starved under load.

``python -m tests.chaos`` runs it and prints counts that must add up. `world` has the processes and the disk, `load` the
platform, `faults` what goes wrong, `harness` the run, and `checker` what must be true of it afterwards.
"""
