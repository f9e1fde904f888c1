"""All that a model reads: quoting, wording, tokens, turns."""
