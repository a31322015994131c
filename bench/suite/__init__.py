"""One module for each group of benchmarks; each is found by being here."""
