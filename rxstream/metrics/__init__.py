"""Metrics of streams: how many, how much, how fast, and what went wrong."""
