"""Real servers and raw clients for the tests: what an in-process client cannot show is seen on a socket.

process    starts Hypercorn, uvicorn and granian as processes, and stops those that it started
h1, h2c    clients that stall, hang up, vanish and notice every way in which a response can end
apps       what the servers serve
"""

from tests.servers.h1 import Client as H1Client
from tests.servers.h1 import Truncated
from tests.servers.h2c import Client as H2Client
from tests.servers.h2c import Reset
from tests.servers.process import DEADLINE, Kind, Server

__all__ = ["DEADLINE", "H1Client", "H2Client", "Kind", "Reset", "Server", "Truncated"]
