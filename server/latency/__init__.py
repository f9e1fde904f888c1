"""How fast recording and searching are, beside the floors they stand on."""
