"""What remembering means. Knows no protocol and no database."""
