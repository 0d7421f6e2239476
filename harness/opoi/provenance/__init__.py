"""Where does each claim of a trace come from? Claims, legal and privileged sources, accepted arithmetic."""
