"""Our own line format, described in docs/import-jsonl.md: nothing of a message is lost on the way out and in."""
