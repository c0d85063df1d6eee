"""See streams behave: record what happens in a pipeline, in real or in simulated time, and look at it.

For notebooks; `pip install 'rxstream[notebook]'` brings what Jupyter and the plots need. Nothing in `rxstream` imports
this package.
"""

from rxstream.explore.probes import probe
from rxstream.explore.recording import record
from rxstream.explore.simulation import simulate
from rxstream.explore.trace import Event, Trace
from rxstream.explore.watching import watch

__all__ = ["Event", "Trace", "probe", "record", "simulate", "watch"]
