"""Files that memory is brought in from and taken out to: the two halves of a format lie together."""
