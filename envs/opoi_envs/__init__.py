"""Environments for `opoi`: simulated worlds with known truth, their tools, experts and stand-in models."""
