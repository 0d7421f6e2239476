"""Methods of making training data, one file each. They share `note` and `filters` and nothing else."""
