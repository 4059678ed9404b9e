"""The release's reference as the control needs it: channels, embeddings, who made them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.embedding import mmd_centre
from monitoring.features import ChannelMap, Columns, channel_group, embeddings
from monitoring.programme import Start
from monitoring.strata import Baseline, Stratum, choose_baseline, strata_of

KNOWN_START = frozenset({"SCANNER_NEW", "VERSION_NEW"})
"""Codes of strata that themselves begin with a known change."""
RARE_SHARE = 0.02
"""Part of the programme's exams below which a scanner with few of them learns its own baseline.

Compared with all scanners together it would alarm for being another one; its exams while
it learns are so few that little goes untested. A scanner with few exams in a small
reference is a good part of the programme, and is tested from its first exam on.
"""
SHOWN_ONLY = frozenset(
    {
        "policy",
        "evidently_on",
        "evidently_method",
        "evidently_threshold",
        "evidently_share",
        "keep_reports",
        "window_exams",
        "retrain_exams",
        "retrain_cancers",
    }
)
"""Settings of reports and retraining: changing one must not make the control forget its past."""


@dataclass
class ControlReference:
    """Reference exams in order of acquisition: ``values`` (n, C), ``phi`` (n, D), and ``who``.

    ``who`` has scanner, software_version, site and patient_id of each exam.
    """

    channels: ChannelMap
    values: Floats
    phi: Floats
    who: pd.DataFrame
    config: MonitorConfig

    @classmethod
    def of(cls, frame: pd.DataFrame, config: MonitorConfig) -> Self:
        """Fit on an exam frame, as a release's reference.parquet holds it."""
        channels, values = ChannelMap.fit(frame, config)
        return cls._of(channels, values, embeddings(frame), frame, config)

    @classmethod
    def of_columns(
        cls, columns: Columns, vectors: Floats, who: pd.DataFrame, config: MonitorConfig
    ) -> Self:
        """Fit on arrays: scalar channels (n,) by name and embeddings (n, d)."""
        channels, values = ChannelMap.fit_columns(columns, vectors, config)
        return cls._of(channels, values, vectors, who, config)

    @classmethod
    def _of(
        cls,
        channels: ChannelMap,
        values: Floats,
        vectors: Floats,
        who: pd.DataFrame,
        config: MonitorConfig,
    ) -> Self:
        names = ["site", "scanner", "software_version", "patient_id"]
        watched = np.array(
            [channel_group(one) not in config.channel_groups_off for one in channels.names]
        )
        channels = replace(channels, names=tuple(np.array(channels.names)[watched].tolist()))
        who = who[names].reset_index(drop=True)  # rows are found by their position
        return cls(channels, values[:, watched], channels.phi(vectors), who, config)

    @property
    def strata(self) -> list[Stratum]:
        """Return the strata that the reference holds, in order of their first exam."""
        return list(dict.fromkeys(strata_of(self.who, self.config)))

    @property
    def digest(self) -> str:
        """SHA-256 of what exams are compared with, and of the settings of the comparison."""
        told = hashlib.sha256(np.ascontiguousarray(self.values).tobytes())
        settings = {k: v for k, v in self.config.to_dict().items() if k not in SHOWN_ONLY}
        told.update(repr((self.channels.names, sorted(settings.items()))).encode())
        return told.hexdigest()

    def baseline(self, stratum: Stratum) -> Baseline:
        """Return what the stratum is compared with."""
        return choose_baseline(stratum, self.who, self.values, self.config)

    def start(self, stratum: Stratum, *, learn_first: bool = False) -> Start:
        """Return what the stratum begins with."""
        chosen = self.baseline(stratum)
        rows = np.asarray(chosen.rows, dtype=np.int64)
        mine = not {"SCANNER_NEW", "SCANNER_THIN"} & set(chosen.codes)
        centre, share = mmd_centre(self.phi[rows]), self._share(stratum)
        rare = "SCANNER_THIN" in chosen.codes and share < RARE_SHARE
        return Start(
            stratum,
            chosen.values,
            chosen.tolerance,
            self.phi[rows] - centre,
            centre,
            self.who["patient_id"].to_numpy()[rows],
            share=share,
            order=rows if mine else rows[:0],
            learn_first=learn_first or rare,
            known_start=bool(KNOWN_START & set(chosen.codes)),
        )

    def _share(self, stratum: Stratum) -> float:
        """Return the part of the reference's exams that its scanner made; of a new one, a guess."""
        same = (self.who["scanner"].fillna("").astype(str) == stratum.scanner).to_numpy()
        if "site" in self.config.strata and stratum.site:
            same &= (self.who["site"].fillna("").astype(str) == stratum.site).to_numpy()
        return float(same.mean()) if same.any() else 1 / (len(self.strata) + 1)
