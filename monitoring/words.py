"""What channels, causes, actions and codes are called on the pages that people read."""

from __future__ import annotations

CHANNELS: dict[str, tuple[str, str]] = {
    "score": ("Score of the exam", "logit"),
    "recall": ("Recalled", ""),
    "missing": ("A view is missing", ""),
    "refused": ("A file was refused", ""),
    "quality": ("Quality fault of an image", ""),
    "embedding_1": ("Look of the images, first axis", ""),
    "embedding_2": ("Look of the images, second axis", ""),
    "embedding_distance": ("Unlikeness to the reference's images", "SD"),
    "embedding_mmd": ("Look of 50 exams together (MMD)", ""),
    "score_ks": ("Scores of 50 exams together (KS)", ""),
    "mean_intensity": ("Brightness of the breast", ""),
    "contrast": ("Contrast", ""),
    "sharpness": ("Sharpness", ""),
    "noise": ("Noise", ""),
    "breast_fraction": ("Share of the image that is breast", ""),
    "thickness_mm": ("Compressed thickness", "mm"),
    "compression_n": ("Compression force", "N"),
    "kvp": ("Tube voltage", "kV"),
    "exposure_mas": ("Exposure", "mAs"),
    "age_years": ("Age", "years"),
}
"""Channel -> what a radiologist calls it, and its unit."""

CAUSES: dict[str, tuple[str, str]] = {
    "data_fault": (
        "Data fault",
        "Exams arrive damaged or incomplete. Nothing is learnt from them.",
    ),
    "acquisition": (
        "Images are made differently",
        "A scanner, its software or its settings changed the images. The women are the same.",
    ),
    "prevalence": (
        "Other women, or more or fewer cancers",
        "The images are made as before; who is screened, or how often there is a cancer, changed.",
    ),
    "concept": (
        "Cancers look different to the release",
        "Outcomes show that it ranks exams worse, and no change of the images explains it.",
    ),
    "mixed": (
        "Two changes at once",
        "There is strong evidence for more than one cause; a person has to tell them apart.",
    ),
    "software_version": (
        "New software version",
        "A scanner reports a software version that the release has not met.",
    ),
}
"""Cause -> its name, and what it means."""

ACTIONS: dict[str, tuple[str, str]] = {
    "quarantine": (
        "Nothing is learnt from these exams, and no release is trained or changed.",
        "Look at the exams and at how they are sent; have the sender mended; then close the "
        "episode with `mammo close`. Scores of damaged exams should not be used.",
    ),
    "note": (
        "Takes a note. The release and its operating point stay as they are.",
        "Nothing at once. Read the note when outcomes of these months are known; keep the "
        "recall rate in view.",
    ),
    "recalibrate_and_retrain": (
        "Sets the operating point of the scanner anew at once, from its recent scores, and "
        "starts the retraining. What it trains has to pass the gate before it serves.",
        "Ask the site what changed on the scanner and when. Read the gate's report; compare "
        "the scanner's recall rate of the next weeks with the target.",
    ),
    "retrain": (
        "Starts the retraining. What it trains has to pass the gate before it serves.",
        "Look at the cancers that got low scores; read the gate's report.",
    ),
    "ask": (
        "Starts nothing: the evidence does not name one cause.",
        "Read the evidence below, decide, and start `mammo retrain --episode`, or close the "
        "episode with `mammo close`. Until then the release serves as before.",
    ),
}
"""Action -> what the system does by itself, and what a person should do."""

CODES: dict[str, str] = {
    "SCANNER_NEW": "the release has not met this scanner",
    "SCANNER_THIN": "the reference has too few exams of this scanner",
    "VERSION_NEW": "the release has not met this software version",
    "REFERENCE_SMALL": "the whole reference is small",
    "BASELINE_LEARNT": "compared with its own exams since an episode was closed",
}

SHORT_CAUSES: dict[str, str] = {
    "data_fault": "Data fault",
    "acquisition": "Images",
    "prevalence": "Women, cancers",
    "concept": "Concept",
    "software_version": "Version only",
}
"""Cause -> the head of a narrow column."""

STATES: dict[str, str] = {
    "learning": "learning",
    "in_control": "in control",
    "alert": "alert",
    "confirmed": "confirmed",
}

LEVELS: dict[str, str] = {
    "programme": "programme",
    "site": "site",
    "scanner": "scanner",
    "version": "version",
}


def channel_words(name: str) -> str:
    """Return what people call the channel."""
    return CHANNELS.get(name, (name.replace("_", " ").capitalize(), ""))[0]


def channel_unit(name: str) -> str:
    """Return the channel's unit; empty where it has none."""
    return CHANNELS.get(name, ("", ""))[1]


def cause_words(cause: str) -> str:
    """Return the cause's name for people."""
    return CAUSES.get(cause, (cause.replace("_", " ").capitalize(), ""))[0]


def code_words(code: str) -> str:
    """Return the code, and what it says where that is known."""
    return f"{code} ({CODES[code]})" if code in CODES else code
