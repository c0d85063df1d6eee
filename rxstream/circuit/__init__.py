"""Circuit breakers around streams: a source that fails again and again is left alone for a while.

pybreaker owns states, counts, storage and listeners, and is imported with the first breaker.

registry     breakers by name
operator     with_circuit
stream       one guarded subscription
guard        what asks a breaker, and tells it
clerk        the thread that does so where it may take a while
"""

from rxstream.circuit.operator import with_circuit
from rxstream.circuit.registry import CircuitRegistry, circuits

__all__ = ["CircuitRegistry", "circuits", "with_circuit"]
