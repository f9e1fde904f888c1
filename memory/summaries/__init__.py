"""Rolling summaries, and when one is due."""
