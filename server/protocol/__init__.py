"""The MCP server: prompts, completions, sampling, updates, and the one file that touches what the SDK keeps private."""
