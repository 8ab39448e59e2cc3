"""Faults injected on purpose, each one counted. `make faults` runs all of them, AVSS_FAULTS=quick a short part."""
