"""Which preprocessing an ingest uses."""

from __future__ import annotations

from mammo.data.store import read_store_config
from mammo.models.config import read_config
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings


def choose_preprocess(settings: Settings, config: str | None = None) -> PreprocessConfig:
    """Return the preprocessing of a named configuration, else of the store, else the default.

    Everything in one store is prepared alike, so that an ingest without a
    configuration goes on as the store began.
    """
    if config is not None:
        return read_config(config).preprocess
    return read_store_config(settings) or PreprocessConfig()
