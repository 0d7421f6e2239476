"""The stages of a run, one file for each arrow of `opoi.pipeline`."""
