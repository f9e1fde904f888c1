"""Who is remembered: identities and tokens."""
