"""What is true: archetypes, campaigns, and what their ads deliver day by day."""
