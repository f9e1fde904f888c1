"""The search index: LanceDB tables that fold the record's change feed, and may be thrown away."""

from storage.lance.index import LanceIndex
from storage.lance.writer import IndexWriter, Lag

__all__ = ["IndexWriter", "Lag", "LanceIndex"]
