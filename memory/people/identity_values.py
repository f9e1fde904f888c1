"""What people are recognised by, each in one normal form: E.164 phone numbers, lower-case e-mail addresses, ids."""

import re
import unicodedata

from memory.errors import Invalid, shown
from memory.model import IDENTITY_LENGTH, Identity, IdentityKind
from memory.names import named

_EMAIL = re.compile(r"(?<![^\s@<>\",;])[^\s@<>\",;]++@[^\s@<>\",;.]++(?:\.[^\s@<>\",;.]++)*+")
_NAMED = re.compile(r"(?<![^<>])[^<>]*+<([^<>]++)>")
_NUMBER_ENDS = re.compile(r"[@;]")
_NO_DIGIT = re.compile(r"\D")
_URI = re.compile(r"(?:sips?|tel|callto):", re.IGNORECASE)


def normalise(kind: IdentityKind, text: str, region: str | None = None) -> Identity:
    """`region` is the country (as in 'US') for phone numbers written without a country code. Errors: Invalid."""
    if kind == "phone":
        return Identity(kind, phone_number(text, region))
    if kind == "email":
        return Identity(kind, email_address(text))
    value = named(text.strip())
    if not value or len(value) > IDENTITY_LENGTH or not value.isprintable():
        name = {"voiceprint": "voiceprint_id", "external": "external_id", "call": "call_id"}[kind]
        raise Invalid(name, f"is {shown(text)}", f"give 1 to {IDENTITY_LENGTH} printable characters")
    return Identity(kind, value)


def phone_number(text: str, region: str | None) -> str:
    """E.164, as in '+14155552671'. Errors: Invalid, which repeats no number."""
    import phonenumbers

    for candidate, where in _readings(unicodedata.normalize("NFKC", text[: IDENTITY_LENGTH + 1]), region):
        try:
            number = phonenumbers.parse(candidate, where)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    hint = "" if region else ", or set BACKSTORY_PHONE_REGION"
    raise Invalid("phone", "is no telephone number", f"write it with its country code, as in +1 415 555 2671{hint}")


def _readings(text: str, region: str | None) -> list[tuple[str, str | None]]:
    """How a number may be meant, the likeliest first."""
    text = _URI.sub("", text.strip())
    text = _NUMBER_ENDS.split(text, maxsplit=1)[0]
    if not 3 <= len(text) <= 40:
        return []
    digits = _NO_DIGIT.sub("", text)
    if text.lstrip("(").startswith("+"):
        return [(text, None)]
    international = [(f"+{digits[2:]}", None)] if digits.startswith("00") else []
    local = [(text, region)] if region else []
    return [*international, *local, *([(f"+{digits}", None)] if len(digits) >= 10 else [])]


def email_address(text: str) -> str:
    """Lower case, without a display name around it. Errors: Invalid."""
    text = text.strip()
    value = unicodedata.normalize("NFKC", text).strip() if len(text) <= 2 * IDENTITY_LENGTH else ""
    inside = _NAMED.fullmatch(value)
    value = (inside.group(1) if inside else value).removeprefix("mailto:").lower()
    if len(value) > IDENTITY_LENGTH or not value.isprintable() or not _EMAIL.fullmatch(value):
        raise Invalid("email", "is no e-mail address", "write it as in name@example.com")
    return value


def guesses(text: str, region: str | None) -> list[Identity]:
    """Every identity that a bare text can stand for; 'call:ID' names a call."""
    if text.startswith("call:"):
        return [Identity("call", named(text.removeprefix("call:").strip()))]
    found = []
    kinds: tuple[IdentityKind, ...] = ("external", "voiceprint", "email", "phone")
    for kind in kinds:
        try:
            found.append(normalise(kind, text, region))
        except Invalid:
            continue
    return found
