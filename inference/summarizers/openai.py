"""Summaries written by a model behind an OpenAI-compatible endpoint, through the `openai` package."""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from inference.summarizers.prompting import SCHEMA, Prompt, prompt_for, read_answer
from memory.errors import Unavailable, shown
from memory.model import Message, Summary, SummaryDraft

log = logging.getLogger("backstory.summarizing")

_OPENAI: Final = "https://api.openai.com/v1"
_REQUEST_SECONDS: Final = 30.0
_BUDGET_SECONDS: Final = 75.0
_RETRIES: Final = 3
_DAILY_TOKENS: Final = 2_000_000
_DAY: Final = 86_400.0
_WORTH_A_RETRY: Final = frozenset({408, 409, 425, 429})
_NOT_OFFERED: Final = frozenset({400, 404, 405, 415, 422, 501})

Style = Literal["responses", "chat_schema", "chat_object", "chat_plain"]
_STYLES: Final[tuple[Style, ...]] = ("responses", "chat_schema", "chat_object", "chat_plain")


class OpenAISummarizer:
    """Asks the Responses API for structured output, and Chat Completions where the endpoint lacks it (then with JSON
    mode, then without, where it lacks those). What worked is used from then on.

    One summary takes at most `budget_seconds`, retries with jitter included, and all of a day's summaries of this
    process about `daily_tokens`. Any failure is Unavailable. Nothing is contacted before the first summary.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        request_seconds: float = _REQUEST_SECONDS,
        budget_seconds: float = _BUDGET_SECONDS,
        retries: int = _RETRIES,
        daily_tokens: int = _DAILY_TOKENS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if not api_key and not base_url:
            raise Unavailable(
                f"The summarizer {shown('openai:' + model)} needs OPENAI_API_KEY, "
                "or OPENAI_BASE_URL for an endpoint that asks for no key."
            )
        self.name = f"openai:{model}"
        self._model = model
        self._base_url = base_url or _OPENAI
        self._api_key = api_key or "none"
        self._request_seconds = request_seconds
        self._budget_seconds = budget_seconds
        self._retries = retries
        self._pause = pause
        self._spending = _Spending(daily_tokens)
        self._style: Style | None = None
        self._client: Any = None
        self._opening = Lock()

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        """Folds `messages` into `previous`. Errors: Unavailable."""
        prompt = prompt_for(previous, messages, max_tokens)
        try:
            return read_answer(self._answer(prompt), previous, messages)
        except Unavailable as error:
            host = urlsplit(self._base_url).netloc.rpartition("@")[2]
            raise Unavailable(f"the endpoint at {host} failed: {error}.") from error

    def close(self) -> None:
        """Gives up the connections; a request under way fails as Unavailable."""
        with self._opening:
            if self._client is not None:
                self._client.close()

    def _answer(self, prompt: Prompt) -> str:
        self._spending.allow(len(prompt.system + prompt.text) // 3)
        deadline = time.monotonic() + self._budget_seconds
        styles = [self._style] if self._style else list(_STYLES)
        refused: Exception | None = None
        for style in styles:
            try:
                answer = self._with_retries(style, prompt, deadline)
            except _NotOffered as error:
                log.info("%s does not offer %s", self.name, style)
                self._style, refused = None, error
                continue
            self._style = style
            return answer
        raise Unavailable(str(refused))

    def _with_retries(self, style: Style, prompt: Prompt, deadline: float) -> str:
        import openai

        for attempt in range(self._retries + 1):
            left = deadline - time.monotonic()
            if left <= 0.05:
                raise Unavailable(f"no answer within {self._budget_seconds:g} seconds")
            wait = random.uniform(0.5, 1.0) * min(8.0, 0.5 * 2**attempt)
            try:
                return self._request(style, prompt, min(self._request_seconds, left))
            except openai.APIStatusError as error:
                code = error.status_code
                if code in _NOT_OFFERED:
                    raise _NotOffered(f"it answered {code} to {style}") from error
                if code < 500 and code not in _WORTH_A_RETRY:
                    raise Unavailable(f"it answered {code}") from error
                why = f"it answered {code}"
                wait = max(wait, _retry_after(error))
            except openai.APITimeoutError:
                why = "it did not answer in time"
            except openai.APIConnectionError:
                why = "it could not be reached"
            except openai.OpenAIError as error:
                raise Unavailable("its answer could not be read") from error
            if attempt == self._retries or wait >= deadline - time.monotonic():
                break
            self._pause(wait)
        raise Unavailable(f"{why} ({attempt + 1} tries)" if attempt else why)

    def _request(self, style: Style, prompt: Prompt, seconds: float) -> str:
        client = self._opened().with_options(timeout=seconds, max_retries=0)
        try:
            answer = _responses(client, self._model, prompt) if style == "responses" else None
            if answer is None:
                answer = _chat(client, self._model, prompt, style)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise Unavailable("its answer could not be read") from error
        text, tokens = answer
        self._spending.spent(tokens or len(prompt.system + prompt.text + text) // 3)
        if not text:
            raise Unavailable("its answer is empty or cut off")
        return text

    def _opened(self) -> Any:
        with self._opening:
            if self._client is None:
                import openai

                try:
                    self._client = openai.OpenAI(base_url=self._base_url, api_key=self._api_key)
                except Exception as error:  # of whatever kind, such as for a proxy that the library does not speak to
                    why = f"its client cannot be made ({type(error).__name__})"
                    raise Unavailable(f"{why}; look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY") from error
            return self._client


class _NotOffered(Exception):
    """The endpoint lacks this interface, or this kind of structured output."""


class _Spending:
    """How many tokens the last day's summaries took."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[tuple[float, int]] = deque()
        self._total = 0
        self._lock = Lock()

    def allow(self, tokens: int) -> None:
        """Errors: Unavailable when these would go past the limit."""
        with self._lock:
            while self._entries and self._entries[0][0] < time.monotonic() - _DAY:
                self._total -= self._entries.popleft()[1]
            if self._total + tokens > self._limit:
                raise Unavailable(f"the budget of {self._limit:,} tokens a day is used up")

    def spent(self, tokens: int) -> None:
        with self._lock:
            self._entries.append((time.monotonic(), tokens))
            self._total += tokens


def _responses(client: Any, model: str, prompt: Prompt) -> tuple[str, int]:
    answer = client.responses.create(
        model=model,
        instructions=prompt.system,
        input=prompt.text,
        text={"format": {"type": "json_schema", "name": "summary", "strict": True, "schema": SCHEMA}},
        max_output_tokens=prompt.answer_tokens,
        store=False,
    )
    whole = answer.status in (None, "completed")
    return (answer.output_text if whole else "", answer.usage.total_tokens if answer.usage else 0)


def _chat(client: Any, model: str, prompt: Prompt, style: Style) -> tuple[str, int]:
    shape: dict[str, Any] = {}
    if style == "chat_schema":
        schema = {"name": "summary", "strict": True, "schema": SCHEMA}
        shape = {"response_format": {"type": "json_schema", "json_schema": schema}}
    elif style == "chat_object":
        shape = {"response_format": {"type": "json_object"}}
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.text}],
        max_tokens=prompt.answer_tokens,
        **shape,
    )
    choice = answer.choices[0]
    text = "" if choice.finish_reason == "length" else choice.message.content or ""
    return text, answer.usage.total_tokens if answer.usage else 0


def _retry_after(error: Any) -> float:
    try:
        return float(error.response.headers.get("retry-after", 0))
    except (TypeError, ValueError):
        return 0.0
