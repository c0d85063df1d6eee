"""The benchmarks: each claim on speed and memory, measured beside the peers that users would otherwise pick.

Run `python -m benchmarks` (or `make bench`). Nothing in the packages imports from here.
"""
