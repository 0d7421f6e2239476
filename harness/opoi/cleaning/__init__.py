"""Taking the oracle out of a trace: text regions, residue patterns, rules, levels, and their engine."""
