"""The Backstory server: everything that knows the Model Context Protocol, HTTP or a shell."""

__version__ = "0.1.0"
