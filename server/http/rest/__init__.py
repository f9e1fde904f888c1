"""REST over the same use cases as the tools: one file a family of routes."""

from server.http.rest.application import build_api

__all__ = ["build_api"]
