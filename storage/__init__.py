"""Where memory is kept: SQL is the record, LanceDB the search index."""
