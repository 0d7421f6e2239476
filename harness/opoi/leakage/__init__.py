"""Detectors: where privileged text, or what it told, has come through into a trace."""
