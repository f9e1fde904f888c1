"""The demonstration: a real server over stdio, killed in the middle, that still remembers."""
