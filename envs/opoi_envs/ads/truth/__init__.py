"""What each action is worth: as it turned out, and as far as it can be known."""
