"""Planted leaks: traces whose every leak is known, with its place, so that detectors can be measured."""
