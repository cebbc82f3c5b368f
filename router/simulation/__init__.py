"""The live engine in virtual time: recorded and generated callers, and agents who answer at once."""
