"""The servers' applications, one module for each contender; all share the data, the publisher and the admin figures."""
