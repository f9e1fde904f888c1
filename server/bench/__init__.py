"""Measuring recall on a data set, over the real store."""
