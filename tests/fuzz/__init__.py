"""A coverage-guided fuzzer for what strangers can reach: the wire decoder, and the engine behind it.

``make fuzz``, or ``python -m tests.fuzz --payloads N --seed S``. `payloads` makes what is sent, `world` takes it as the
live service would, and counts.
"""
