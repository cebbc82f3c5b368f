"""The asyncio shell around the engine: bus, metrics, pages, and the loop that feeds it."""
