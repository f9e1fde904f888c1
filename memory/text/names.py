"""Names as they are kept and compared: composed, without what nobody sees."""

import re
import unicodedata

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]+"
)
"""Characters without width or look: soft hyphens, joiners, marks of direction, variation selectors, tags."""

_LONGEST = 4_000
"""Characters; what is longer is refused as a name, and composing it would be work for nothing."""


def seen(text: str) -> str:
    """`text` without what nobody sees."""
    return text if text.isascii() else _UNSEEN.sub("", text)


def named(text: str) -> str:
    """The one form of a name: NFC, without what nobody sees, without blanks at its ends. '' where nothing is left."""
    if text.isascii() or len(text) > _LONGEST:
        return text.strip()
    return unicodedata.normalize("NFC", seen(text)).strip()


def project_named(text: str) -> str:
    """The same for a project, which is often a path: without slashes at its end, unless it is nothing else."""
    name = named(text)
    return name.rstrip("/\\ \t") or name
