"""Measurements, as ratios or distributions of one run; the figures are in docs/benchmarks.md. One module each."""
