"""The simulated Everest: a small Kubernetes API that the real kubectl talks to, and an everestctl on top of it."""

from tests.simulator.effects import overlaps
from tests.simulator.running import SimulatedEverest, simulated_everest

__all__ = ["SimulatedEverest", "overlaps", "simulated_everest"]
