"""Scripts that print figures: each asks one question, fixes its seed and prints a digest of the decisions made."""
