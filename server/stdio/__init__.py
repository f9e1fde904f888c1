"""Standard input and output: the pipe, and serving over it."""
