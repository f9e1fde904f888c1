"""What a model is given: session context, preamble, profile, strategies."""
