"""The laboratory: rules and detectors at work on files of traces, offline, and how well they do."""
