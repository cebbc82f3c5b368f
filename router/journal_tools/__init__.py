"""What operations do with a journal that no router needs to run for: verify it, export it, compact it."""
