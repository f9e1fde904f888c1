"""Writing the record: recording, sessions, user context, restoring, validation."""
