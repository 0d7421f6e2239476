"""Scripted reviewers."""
