"""The deterministic simulator: the real application on a virtual clock, with every fault that production knows."""
