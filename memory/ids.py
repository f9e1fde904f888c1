"""Ids of our own: short, never given twice, in the order in which they were given."""

import secrets
import time

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """For example 'ses_01kt5m8q7e2v9c4x1zn': eleven characters of time (microseconds), eight of chance."""
    return f"{prefix}_{_in_letters(time.time_ns() // 1000, 11)}{_in_letters(secrets.randbits(40), 8)}"


def _in_letters(number: int, length: int) -> str:
    return "".join(_LETTERS[number >> 5 * place & 31] for place in reversed(range(length)))
