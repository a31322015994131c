"""Benchmarks side by side with their peers: `python -m bench [NAME]`, or `make bench NAME=…`."""
