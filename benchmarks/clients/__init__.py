"""The clients: processes of their own, on plain sockets, the same for every contender; they check what they read."""
