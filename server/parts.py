"""What an open memory is made of, and how settings become it. Imported by the warm-up alone: its imports are heavy."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from inference.embedders import load_embedder
from inference.summarizers.extractive import ExtractiveSummarizer
from memory.context.preamble import Preambles
from memory.context.session_context import SessionContexts
from memory.errors import Invalid, Unavailable
from memory.ports import Clock, Embedder, Summarizer, TokenCounter
from memory.recall import Recall, analyzer
from memory.summaries.summarizing import Summarizing
from memory.summaries.triggers import SummaryTriggers
from memory.text.tokens import EstimatedTokens, tokenizer_counter
from server.record import open_record
from server.settings import Settings
from server.time_zones import zone_here, zone_named
from storage.lance import IndexWriter, LanceIndex
from storage.sql import SqlRecordStore
from storage.sql.directory import SqlDirectory

log = logging.getLogger("backstory.app")
WRITER_SECONDS = 10.0
SUMMARY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """An open memory, as handlers and commands work with it. Without an embedder search goes on with keywords."""

    settings: Settings
    clock: Clock
    store: SqlRecordStore
    directory: SqlDirectory  # users, their identities and access tokens, which lie beside the record
    index: LanceIndex
    writer: IndexWriter
    embedder: Embedder | None
    recall: Recall
    counter: TokenCounter
    summarizing: Summarizing
    triggers: SummaryTriggers
    preambles: Preambles
    session_contexts: SessionContexts

    def close(self) -> None:
        """Stops what runs in the background, with its helpers, then closes index and record."""
        _quietly(lambda: self.writer.stop(WRITER_SECONDS))
        _quietly(lambda: self.triggers.stop(SUMMARY_SECONDS))
        _quietly(self.index.close)
        _quietly(self.store.close)


def open_parts(settings: Settings, clock: Clock, *, background: bool = True) -> Parts:
    """Opens the record, loads the model, and starts what works in the background unless that is not wanted.

    Errors: StorageFailed, Invalid, Unavailable, each in one sentence.
    """
    if settings.encryption_key is not None:
        raise Unavailable("BACKSTORY_ENCRYPTION_KEY is set, but this version cannot encrypt; unset it to go on.")
    store = open_record(settings)
    try:
        return _assembled(settings, clock, store, background)
    except BaseException:
        store.close()
        raise


def _assembled(settings: Settings, clock: Clock, store: SqlRecordStore, background: bool) -> Parts:
    embedder = _open_embedder(settings)
    remote = settings.data_dir / "index" if "://" in settings.index_location else None
    index = LanceIndex(settings.index_location, embedder.name if embedder else None, home=remote)
    writer = IndexWriter(store, index, analyzer(), embedder)
    counter = _token_counter(settings.tokenizer)
    zone = zone_named(settings.time_zone) if settings.time_zone else zone_here()
    recall = Recall(store, index, embedder, clock, zone=zone, counter=counter)
    producers = _summarizers(settings, embedder, counter)
    summarizing = Summarizing(store, producers, counter, clock, quick=ExtractiveSummarizer(None, counter))
    triggers = SummaryTriggers(
        store, summarizing, counter, every_turns=settings.summarize_turns, every_tokens=settings.summarize_tokens
    )
    preambles = Preambles(store, counter, clock)
    contexts = SessionContexts(store, recall, counter, clock, summarizing=summarizing, preambles=preambles)
    store.hear_reopening(recall.forget)
    store.hear_reopening(preambles.forget)
    if background:
        writer.start()
        triggers.start()
    return Parts(
        settings=settings,
        clock=clock,
        store=store,
        directory=SqlDirectory(store.database),
        index=index,
        writer=writer,
        embedder=embedder,
        recall=recall,
        counter=counter,
        summarizing=summarizing,
        triggers=triggers,
        preambles=preambles,
        session_contexts=contexts,
    )


def embedder_of(settings: Settings) -> Embedder | None:
    """The embedder that the settings name, None for none. Errors: Unavailable when it cannot be loaded."""
    return load_embedder(
        settings.embedder,
        openai_base_url=settings.openai_base_url,
        openai_api_key=settings.openai_api_key.reveal() if settings.openai_api_key else None,
    )


def _open_embedder(settings: Settings) -> Embedder | None:
    """The embedder, or None where there is none or it cannot be loaded; that is said once, on stderr."""
    try:
        return embedder_of(settings)
    except Unavailable as missing:
        log.warning("%s Search goes on with keywords only.", missing)
    except Exception as error:
        log.debug("The embedder failed", exc_info=True)
        log.warning("The embedder cannot be used (%s). Search goes on with keywords only.", type(error).__name__)
    return None


def _token_counter(tokenizer: str | None) -> TokenCounter:
    """The counter, which estimates where there is no tokenizer or it cannot be had; that is said once, on stderr."""
    try:
        return tokenizer_counter(tokenizer) if tokenizer else EstimatedTokens()
    except (Invalid, ImportError) as missing:
        log.warning("%s Tokens are estimated.", missing)
        return EstimatedTokens()


def _summarizers(settings: Settings, embedder: Embedder | None, counter: TokenCounter) -> list[Summarizer]:
    """In the order in which they are asked; the last one is local and always answers."""
    local = ExtractiveSummarizer(embedder, counter)
    kind, _, model = settings.summarizer.partition(":")
    if kind != "openai":
        return [local]
    from inference.summarizers.openai import OpenAISummarizer

    key = settings.openai_api_key.reveal() if settings.openai_api_key else None
    return [OpenAISummarizer(model, base_url=settings.openai_base_url, api_key=key), local]


def _quietly(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:
        log.exception("A part of the memory did not close")
