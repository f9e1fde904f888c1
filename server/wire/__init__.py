"""Data in, data out: schemas, values, answers."""
