"""A session's digest: the sum of its messages' digests modulo 2**256.

An incremental multiset hash (MSet-Add-Hash; Clarke, Devadas, van Dijk, Gassend, Suh: "Incremental Multiset Hash
Functions and Their Application to Memory Integrity Checking", ASIACRYPT 2003). Each message's digest covers its seq.
"""

from collections.abc import Iterable

_MODULUS = 1 << 256


def add_digest(total: str, digests: Iterable[str]) -> str:
    return _rendered(int(total or "0", 16) + sum(int(digest, 16) for digest in digests))


def remove_digest(total: str, digests: Iterable[str]) -> str:
    return _rendered(int(total or "0", 16) - sum(int(digest, 16) for digest in digests))


def _rendered(value: int) -> str:
    return f"{value % _MODULUS:064x}"
