"""The simulated call centre of the benchmark: the same as `cadran simulate` runs (simulation/centre.py)."""

from simulation.centre import CallCentre, Dialer
from simulation.shift import Agent, Result

__all__ = ["Agent", "CallCentre", "Dialer", "Result"]
