"""Under what terms each data set may be used, and whom to cite."""

from __future__ import annotations

from dataclasses import dataclass

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Terms:
    """The terms of one source in words, and its paper; `NOT_KNOWN` where nobody said."""

    terms: str
    cite: str


PHANTOMS = Terms("made by this project, Apache-2.0", "none: computed, of no patient")
TERMS: dict[str, Terms] = {
    "rsna": Terms(
        "the challenge's rules on Kaggle: non-commercial, research and education",
        "Carr et al. (2022), RSNA Screening Mammography Breast Cancer Detection",
    ),
    "cbis-ddsm": Terms("CC BY 3.0", "Lee et al. (2017), Scientific Data 4:170177"),
    "vindr": Terms(
        "PhysioNet Restricted Health Data License 1.5.0, by agreement",
        "Nguyen et al. (2023), Scientific Data 10:277",
    ),
    "inbreast": Terms(
        "by agreement with INESC Porto, research only",
        "Moreira et al. (2012), Academic Radiology 19(2):236-248",
    ),
    "cmmd": Terms("CC BY 4.0", "Cui et al. (2021), The Chinese Mammography Database"),
    "mini-mias": Terms(
        "research only, never passed on",
        "Suckling et al. (1994), The Mammographic Image Analysis Society digital mammogram "
        "database",
    ),
}
"""By the name of `mammo ingest --source NAME`; a hospital's own folder has none here."""


def names_phantoms(*texts: str) -> bool:
    """True where a text that says what images are of (source, scanner, training) says phantoms."""
    return any("phantom" in text.lower() for text in texts)


def terms_of(source: str, *, phantoms: bool = False) -> Terms:
    """Return a source's terms; those of phantoms where its images are all phantoms."""
    if phantoms:
        return PHANTOMS
    own = Terms(f"{NOT_KNOWN}: the site's own data, ask who keeps them", NOT_KNOWN)
    return TERMS.get(source, own)
