"""Names as they are kept and compared: composed, without what nobody sees."""

import re
import unicodedata

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]+"
)
"""Characters without width or look: soft hyphens, joiners, marks of direction, variation selectors, tags."""

_BLANKS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_LONGEST = 4_000
"""Characters; what is longer is refused as a name, and composing it would be work for nothing."""


def seen(text: str) -> str:
    """`text` without what nobody sees."""
    return text if text.isascii() else _UNSEEN.sub("", text)


def named(text: str) -> str:
    """The one form of a name: NFC, without what nobody sees, without blanks at its ends. '' where nothing is left."""
    if text.isascii() or len(text) > _LONGEST:
        return text.strip(_BLANKS)
    return unicodedata.normalize("NFC", seen(text)).strip(_BLANKS)


def project_named(text: str) -> str:
    """The same for a project, which is often a path: without slashes at its end, unless it is nothing else."""
    name = named(text)
    return name.rstrip("/\\" + _BLANKS) or name


def keep_names(holder: object, *attributes: str) -> None:
    """Puts the names that a frozen dataclass holds into their one form, where there are any, as it is made."""
    for attribute in attributes:
        given = getattr(holder, attribute)
        if isinstance(given, str):
            form = project_named(given) if attribute == "project_id" else named(given)
            object.__setattr__(holder, attribute, form)
