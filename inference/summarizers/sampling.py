"""Summaries written by a model that somebody else runs: the client's, by sampling, or any function that answers."""

from collections.abc import Callable, Sequence

from inference.summarizers.prompting import Prompt, prompt_for, read_answer
from memory.errors import Unavailable
from memory.model import Message, Summary, SummaryDraft


class AskedSummarizer:
    """A Summarizer over `ask`, which takes the question and returns the model's words, or raises Unavailable."""

    def __init__(self, ask: Callable[[Prompt], str], name: str = "client") -> None:
        self.name = name
        self._ask = ask

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        """Folds `messages` into `previous`. Errors: Unavailable."""
        return read_answer(self._ask(prompt_for(previous, messages, max_tokens)), previous, messages)


def answered(asked: Prompt, answer: str, name: str = "client") -> AskedSummarizer:
    """A Summarizer for an answer that has come already; it serves the question it was given to, and no other."""

    def ask(prompt: Prompt) -> str:
        if prompt != asked:
            raise Unavailable("the conversation was summarized or erased in the meantime")
        return answer

    return AskedSummarizer(ask, name)
