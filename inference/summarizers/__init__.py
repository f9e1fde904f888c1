"""Producers of summaries: extractive, an OpenAI-compatible endpoint, the client's model."""
