"""Exact results of queueing theory, and what is held against them."""
