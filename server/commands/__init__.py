"""One file a subcommand of `backstory`; imported when it is run."""
