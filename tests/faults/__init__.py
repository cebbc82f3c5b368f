"""Deterministic fault simulation: a whole router in one process, one seed and virtual time.

The service, its outbox, the decider, the engine and the SQLite journal are the real ones. Simulated are the clock and
the event loop (`loop`), the broker and the network (`broker`), what a disk does in a crash (`disk`), and platform,
callers and agents, who misbehave (`platform`). `model` knows from the wire alone what must be true; `simulation`
puts one seed's world together and breaks it; ``python -m tests.faults`` does so for as long as one likes.
"""
