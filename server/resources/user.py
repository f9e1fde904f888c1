"""What is known about the user: context, preamble for the start of a chat or a call, profile."""

from datetime import timedelta

from memory.context.profile import ProfileLimits, as_document
from memory.context.profile import profile as profile_of
from memory.record.user_context import get as entries_of
from server.calling import Call
from server.protocol import addresses
from server.resources.table import Document, resource
from server.wire import answers, fitting


@resource(addresses.USER_CONTEXT, "What is known about the user", "Facts, preferences and current state, as stated")
def user_context(call: Call) -> Document:
    answer = answers.entries(entries_of(call.memory.store, call.owner, clock=call.memory.clock), call.memory.counter)
    return Document(answer.data, answer.text)


@resource(addresses.PREAMBLE, "Preamble", "A short text to give a model before the first word of a chat or a call")
def preamble(call: Call) -> Document:
    made = call.memory.preambles.get(call.owner, display_name=call.caller.display_name)
    return Document({"text": made.text, "tokens": made.tokens}, made.text)


@resource(addresses.PROFILE, "Profile", "What the last sessions were about, preferences, and what else is known")
def profile(call: Call) -> Document:
    settings = call.memory.settings
    expires_after = timedelta(days=settings.profile_days) if settings.profile_days else None
    limits = ProfileLimits(settings.profile_sessions, expires_after)
    found = profile_of(call.memory.store, call.owner, limits=limits, clock=call.memory.clock)
    return Document(fitting.profile(dict(as_document(found)), call.memory.counter))
