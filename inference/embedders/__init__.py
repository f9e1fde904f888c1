"""Embedders: text to vectors. Nothing here is imported before a model is asked for."""

from typing import Final

from memory.errors import Invalid, shown
from memory.ports import Embedder

_CHOICES: Final = "allowed are bundled, multilingual, fastembed:MODEL, openai:MODEL and none"


def load_embedder(
    name: str, *, openai_base_url: str | None = None, openai_api_key: str | None = None
) -> Embedder | None:
    """The embedder called `name`; None for 'none'. Loads a local model; asks an endpoint for its model's dimension.

    Errors: Invalid for a name that is not one of these; Unavailable, in one sentence, when the model, its runtime or
    its extra is not installed, or the endpoint does not answer within seconds.
    """
    kind, _, model = name.partition(":")
    if name == "none":
        return None
    if name == "bundled":
        from inference.embedders.minilm import MiniLM

        return MiniLM()
    if name == "multilingual":
        from inference.embedders.multilingual import MultilingualE5

        return MultilingualE5()
    if kind == "fastembed" and model:
        from inference.embedders.fastembed_models import FastembedModel

        return FastembedModel(model)
    if kind == "openai" and model:
        from inference.embedders.openai_compatible import OpenAICompatible

        embedder = OpenAICompatible(model, base_url=openai_base_url, api_key=openai_api_key)
        # Asked for now: those who lay out memory for vectors cannot wait for the endpoint to come back.
        _ = embedder.dimension
        return embedder
    raise Invalid("The embedder", f"{shown(name)} is not known", _CHOICES)
