"""The account as a Graph-style HTTP API."""
