"""The account as people and programs see it: settings, a clock, reported facts, writes."""
