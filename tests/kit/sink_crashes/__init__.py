"""Sinks and their engine killed and frozen at each point of a batch; ``python -m kit.sink_crashes`` is the long run."""
