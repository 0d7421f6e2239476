"""The figures: one function each, with its definition, in one file for each subject."""
