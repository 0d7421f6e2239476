"""Arms side by side on the same scenarios: tests, differences, verdicts, boards."""
