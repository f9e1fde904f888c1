"""Hosted use: one ASGI application with Streamable HTTP, SSE, REST, health and metrics, and the server that runs it."""
