"""What a summary in an agent's own words must be."""

from memory.errors import Invalid, NotFound
from memory.model import SUMMARY_LENGTH, SUMMARY_NOTE_LENGTH, SUMMARY_NOTES, SummaryDraft
from memory.ports import Records


def check_draft(draft: SummaryDraft) -> None:
    """Errors: Invalid for a draft that says nothing, or more than is kept."""
    if not draft.text.strip():
        raise Invalid("The summary's text", "is empty", "say in a few sentences what was talked about")
    if len(draft.text) > SUMMARY_LENGTH:
        raise Invalid("The summary's text", f"has {len(draft.text)} characters", f"at most {SUMMARY_LENGTH} are kept")
    said = {
        "decisions": [fact.text for fact in draft.decisions],
        "commitments": [commitment.what for commitment in draft.commitments],
        "open_questions": [fact.text for fact in draft.open_questions],
        "facts": [fact.text for fact in draft.facts],
        "entities": list(draft.entities),
    }
    for name, texts in said.items():
        if len(texts) > SUMMARY_NOTES:
            raise Invalid(f"The summary's {name}", f"has {len(texts)} entries", f"at most {SUMMARY_NOTES} are kept")
        if not all(text.strip() and len(text) <= SUMMARY_NOTE_LENGTH for text in texts):
            allowed = f"each entry says something, in at most {SUMMARY_NOTE_LENGTH} characters"
            raise Invalid(f"The summary's {name}", "has an empty or overlong entry", allowed)


def check_sources(records: Records, draft: SummaryDraft) -> None:
    """Errors: NotFound for a message that a note is said to be from, and that is not the owner's."""
    sources = [fact.message_id for fact in (*draft.decisions, *draft.open_questions, *draft.facts)]
    sources += [commitment.message_id for commitment in draft.commitments]
    ids = [message_id for message_id in sources if message_id is not None]
    recorded = records.messages(ids) if ids else {}
    for message_id in ids:
        if message_id not in recorded:
            raise NotFound("message", message_id)
