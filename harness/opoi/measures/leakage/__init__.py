"""Did anything reach the data that the agent could not have known? Residue, and claims by provenance."""
