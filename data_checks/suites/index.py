"""The exam index: what must hold of each mammogram's row, and why."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from data_checks.checks import CRITICAL, SELDOM, WARNING, Check, at_most, none_of, required, seldom
from data_checks.evaluate import Suite
from data_checks.index_facts import (
    BREAST_LABELS,
    COLUMNS,
    ENOUGH_TO_VARY,
    NAMES,
    SPELLED,
    VARYING,
    WITH_PIXELS,
)
from data_checks.limits import FIRST_DAY, CheckLimits
from mammo.data.sources.registry import SOURCES
from mammo.exam import Laterality, ViewPosition

NEVER_NULL = {
    "image_id": "an image without an id cannot be found again or taken out",
    "exam_id": "scores are pooled by exam; images without one would form one exam together",
    "patient_id": "a patient's images without an id land on both sides of a split",
    "laterality": "the breast is the unit of prediction; without a side there is none",
    "view": "the model pools views; an unknown view is told as U, never as nothing",
    "scanner": "drift and operating points are by scanner; unknown is a name of its own",
    "site": "site is a stratum of every split and report",
    "source": "a row that names no source cannot be traced to a licence or a reader",
    "shard": "without its shard the image cannot be trained on",
    "shard_row": "without its place the image cannot be trained on",
}
SETS: dict[str, tuple[tuple[object, ...], str]] = {
    "laterality": (
        (Laterality.LEFT.value, Laterality.RIGHT.value),
        "a side written otherwise ('l', 'Left') makes a third breast of the exam",
    ),
    "view": (
        tuple(view.value for view in ViewPosition),
        "a view written otherwise is counted as non-standard and left out of pooling",
    ),
    "density": (
        ("A", "B", "C", "D", "F", "G"),
        "balance and subgroup results are by density; another scale is another question",
    ),
    **dict.fromkeys(
        ("cancer", "abnormal", "biopsied", "invasive", "difficult"),
        ((0, 1), "a label that is neither yes nor no trains the network towards a third"),
    ),
    "birads": (
        (0, 1, 2, 3, 4, 5, 6),
        "BI-RADS has these seven categories; others come from a shifted column or a 4a read as 4",
    ),
    "published_split": (
        ("train", "training", "val", "validation", "test"),
        "results on a public set compare only on the part that its makers published",
    ),
}
FEATURE_RANGES = {
    "f_breast_fraction": (0.001, 1.0, "a share of the image; outside, the breast was not found"),
    "f_mean_intensity": (0.0, 1.0, "1 is full scale; outside, the window was not applied"),
    "f_contrast": (0.0, 0.5, "a standard deviation on a scale of 1 is at most one half"),
    "f_skewness": (-200.0, 200.0, "beyond, the value is an overflow and shifts the drift monitor"),
    "f_sharpness": (0.0, 20.0, "a gradient cannot be negative; beyond, contrast was nought"),
    "f_noise": (0.0, 1.0, "a standard deviation on a scale of 1; beyond is a fault of measuring"),
}
EXPOSURE_RANGES = {
    "thickness_mm": (12.0, 200.0, "a compressed breast is in mm; in cm it is another scanner's"),
    "compression_n": (1.0, 500.0, "force is in newton; in decanewton drift would be told of it"),
    "kvp": (15.0, 60.0, "mammography has 22 to 49 kV; volt or 0 is a filler"),
    "exposure_mas": (0.5, 2000.0, "charge is in mAs; in uAs it is a thousand times as much"),
}
DEVICE = ("manufacturer", "model", "software_version", "scanner")
UNIQUE = {
    "rows_of_image": ("no image_id stands twice", "an image counted twice weighs twice, and may "
                      "stand in training and test"),
    "rows_of_file": ("no sha256 stands twice", "the same file under two ids is a leak that no "
                     "split by id can see; public sets and archives hold thousands"),
    "rows_of_place": ("no two images share a place in a shard", "one of the two would be trained "
                      "with the other's label"),
}  # fmt: skip
CONTRADICTIONS = {
    "cancer_not_abnormal": ("cancer is abnormal", "the targets 'cancer' and 'abnormal' would "
                            "teach the opposite on the same breast"),
    "cancer_not_biopsied": ("cancer was biopsied, where that is known", "a cancer without tissue "
                            "is a reader's opinion, or two columns were swapped"),
    "invasive_not_cancer": ("invasive means cancer", "the flags come from one pathology report; "
                            "a contradiction shows that columns or rows were swapped"),
    "invasive_not_biopsied": ("invasive was biopsied, where that is known", "invasion is seen "
                              "under the microscope only"),
    "difficult_cancer": ("a difficult negative is no cancer", "RSNA's flag is of negatives; on a "
                         "cancer it shows that the label or the flag moved by a row"),
    "malignant_without_cancer": ("a breast without cancer has no malignant finding", "boxes and "
                                 "labels would train detector and classifier against each other"),
    "known_before_image": ("no outcome was known before the image was acquired", "an outcome "
                           "from before is of another exam; it makes skill look like prophecy"),
    "known_without_outcome": ("where a day of knowing is given there is an outcome", "maturity "
                              "of labels would count exams that have none"),
    "implant_denied": ("no image says that there is an implant and that there is none", "implants "
                       "are a stratum of every split; half of them would be in the other"),
}  # fmt: skip
GROUPS = {
    "patients_differ": ("no exam belongs to two patients", "the exam would stand on both sides "
                        "of a split by patient: the leak that flatters most published results"),
    "dates_differ": ("an exam has one date", "time splits and label maturity need one; two dates "
                     "are two visits under one id"),
    "ages_differ": ("an exam has one age", "nobody is two ages at one visit; rows were mixed up"),
    "densities_differ": ("an exam has one density", "it is said of the woman, not of the image; "
                         "two mean mixed rows or two readers"),
    "sites_differ": ("an exam was made at one site", "site is a stratum; an exam in two counts "
                     "in both"),
    "sources_differ": ("an exam comes from one source", "two sets that share exams share patients, "
                       "and a test on one is a test on training data"),
    **{
        f"{name}_differs": (f"{name} of a breast agrees between its views", "the outcome is of the "
                            "breast; views that disagree train one pathology as its opposite")
        for name in BREAST_LABELS
    },
    "implant_differs": ("implant agrees between the views of a breast", "an implant does not come "
                        "and go during an exam"),
    "outcome_times_differ": ("a breast's outcome was known on one day", "label maturity is counted "
                             "by breast"),
    "ages_against_dates": ("a patient ages as the calendar says", "ages and dates that disagree by "
                           "more than a year and a half are two people, or a typed date"),
    "pixels_of_others": ("no image stands under two patients, by size and all features", "the "
                         "same picture under two names is in training and in test"),
    "likeness_of_others": ("no image stands under two patients, by perceptual hash", "copies that "
                           "were saved anew have other bytes; a split by patient cannot see them"),
}  # fmt: skip
STOPPING = ("patients_differ", "pixels_of_others")
"""Groups of which a single one stops a run: the others occur in sound archives."""
SUSPICIONS = {
    "views_unpaired": ("an exam of four standard views has each of them once", "in all of RSNA's "
                       "8,233 exams of four it holds; otherwise a side or a view is wrong"),
    "labels_partly_missing": ("what is known of one view of a breast is known of all", "rows of a "
                              "table were lost, or a join was by image instead of breast"),
    "published_splits_differ": ("a patient is in one published part", "some published splits share "
                                "patients (CBIS-DDSM's is by lesion): do not report on them"),
    "model_lacking": ("manufacturer and model are known together", "scanners without a model "
                      "fall into one stratum, and drift of one hides in the other"),
}  # fmt: skip


def index_suite(limits: CheckLimits | None = None, *, today: date | None = None) -> Suite:
    """Return the suite of the exam index; ``today`` bounds its dates."""
    limits = limits or CheckLimits()
    return Suite(
        "index",
        "Exam index",
        "the exam index",
        (
            *(required(n, f"every mammogram has its {n}", why) for n, why in NEVER_NULL.items()),
            *_places(),
            *_identities(),
            *_sets(),
            *_ranges(today or datetime.now(UTC).date()),
            *(one for name, said in CONTRADICTIONS.items() for one in seldom(name, *said)),
            *_groups(limits),
            *_names(),
            *_constants(),
            *_mix(limits),
        ),
        COLUMNS,
    )


def _places() -> list[Check]:
    lost = "the image was prepared, and something on the way to the index lost this"
    return [
        *(
            none_of(f"lacks_{name}", f"every image with pixels in the store has its {name}", lost)
            for name in WITH_PIXELS
        ),
        none_of(
            "lacks_likeness",
            "every image has its phash, where others of its source have",
            "copies of the image in another part of a split could not be found",
        ),
        none_of(
            "odd_shard",
            "shard and row name a place, or both say that there is none",
            "training would read past the end, or outside the store",
        ),
        none_of("file_without_digest", "every image in a shard names its file's sha256",
                "a release's data could not be traced to its files"),
        none_of("odd_digest", "sha256 has 64 hexadecimal digits",
                "a cut or upper-case digest never equals that of the same file"),
        none_of("odd_likeness", "phash has 64 hexadecimal digits",
                "a hash of another form is at no distance from any"),
    ]  # fmt: skip


def _identities() -> list[Check]:
    # flags rather than the ids: Data Docs quote values, and these might be original ones
    leak = "an original id in the index leaves the hospital with every copy of it"
    return [
        *(at_most(name, 1, *said) for name, said in UNIQUE.items()),
        *(
            none_of(
                f"original_{name}", f"{name} is a pseudonym, never an original identifier", leak
            )
            for name in ("image_id", "exam_id", "patient_id")
        ),
    ]


def _sets() -> list[Check]:
    known = tuple(SOURCES)
    return [
        *(
            Check(name, f"{name} is one of {', '.join(map(str, values))}", why, allowed=values)
            for name, (values, why) in SETS.items()
        ),
        Check("source", f"source is one of {', '.join(known)}",
              "a source that no reader has cannot be ingested again", allowed=known),
        none_of("unknown_codes", "quality holds known codes",
                "a code that nobody knows is in no count, and the fault it names goes unseen"),
    ]  # fmt: skip


def _ranges(today: date) -> list[Check]:
    tomorrow = today + timedelta(days=1)
    known_by = datetime.combine(tomorrow, datetime.min.time(), tzinfo=UTC) + timedelta(days=1)
    sizes = "smaller is a thumbnail or a cut-out, larger a damaged header"
    return [
        Check("age_years", "ages are 0 to 120 years, or unknown",
              "400 is months or a typing error, -1 somebody's code for unknown", 0, 120),
        Check("acquired_on", f"acquisition was after {FIRST_DAY.year} and is not in the future",
              "default dates (1900, 2099) move exams across splits by time", FIRST_DAY, tomorrow),
        Check("outcome_known_at", "outcomes were known after 1980 and not in the future",
              "an outcome of tomorrow would be used for training today",
              datetime(FIRST_DAY.year, 1, 1, tzinfo=UTC), known_by),
        Check("spacing_mm", "pixel spacing is 0.01 to 1 mm, or unknown",
              "sizes of findings are in mm; spacing in cm or micrometres scales them", 0.01, 1.0),
        Check("height_mm", "images are 40 to 600 mm high, by rows and spacing",
              "no detector is smaller or larger: spacing or size is of another image", 40, 600,
              severity=WARNING),
        Check("rows", "images have 64 to 20000 rows", sizes, 64, 20000),
        Check("columns", "images have 64 to 20000 columns", sizes, 64, 20000),
        Check("shard_row", "rows of a shard are counted from 0; -1 says that there is none",
              "a negative row reads the shard from its end, without an error", -1, 10_000_000),
        *(Check(name, f"{name} is {low:g} to {high:g}", why, low, high)
          for name, (low, high, why) in (FEATURE_RANGES | EXPOSURE_RANGES).items()),
        none_of("boxes_outside", "every marked finding lies inside its image",
                "a box outside is in millimetres, in another image, or x and y are swapped"),
        none_of("findings_unreadable", "findings are boxes that can be read",
                "training stops at the first text that is none"),
        none_of("geometry_unreadable", "geometry can be read",
                "boxes of the detector could not be drawn on the original"),
        none_of("geometry_of_other_size", "geometry is of an image of the same rows and columns",
                "rows and columns were swapped, or the row belongs to another image"),
        none_of("crop_outside", "the crop of geometry lies inside the image",
                "boxes would be drawn beside the breast"),
    ]  # fmt: skip


def _groups(limits: CheckLimits) -> list[Check]:
    most = limits.max_views_per_exam
    return [
        Check("views_of_exam", f"an exam has 1 to {most} views",
              "hundreds of views under one id are a folder taken for an exam", 1, most,
              severity=WARNING),
        Check("views_of_exam", f"an exam has 1 to {most} views, in {SELDOM:.0%} of rows",
              "hundreds of views under one id are a folder taken for an exam", 1, most,
              mostly=SELDOM),
        *(none_of(name, *GROUPS[name]) for name in STOPPING),
        *(one for name in GROUPS if name not in STOPPING for one in seldom(name, *GROUPS[name])),
        *(none_of(name, *said, severity=WARNING) for name, said in SUSPICIONS.items()),
    ]  # fmt: skip


def _names() -> list[Check]:
    return [
        *(
            none_of(
                f"untidy_{name}",
                f"{name} is trimmed, short and of printable characters, without '^'",
                "blanks make two strata of one device; a caret is how DICOM writes people's names",
                # devices say of themselves what they like, nobody here can mend it
                WARNING if name in DEVICE else CRITICAL,
            )
            for name in NAMES
        ),
        none_of(
            "scanner_differs",
            "scanner is made of manufacturer and model",
            "operating points are by scanner; one under a wrong name gets another's threshold",
        ),
        *(
            none_of(
                f"{name}_spelled_twice",
                f"{name} is spelled one way",
                "HOLOGIC and Hologic would be two strata with half the exams each",
                WARNING,
            )
            for name in SPELLED
        ),
    ]


def _constants() -> list[Check]:
    stuck = f"{ENOUGH_TO_VARY} images never agree in this: a default was written, or a join failed"
    names = ("patient_id", "laterality", *VARYING)
    return [
        none_of(f"constant_{name}", f"{name} is not the same in a whole source", stuck)
        for name in names
    ]


def _mix(limits: CheckLimits) -> list[Check]:
    low, high = limits.prevalence
    return [
        Check(
            "view",
            f"at least {limits.standard_views:.0%} of images are standard views",
            "a screening archive has few others; more show that view names are not understood",
            allowed=("CC", "MLO"),
            mostly=limits.standard_views,
            severity=WARNING,
        ),
        Check(
            "chest_side_differs",
            f"in at least {limits.chest_sides:.0%} of images the chest wall is on the side that "
            "laterality says",
            "sides were swapped or images mirrored for many rows: the label is of the other side",
            least=0,
            most=0,
            mostly=limits.chest_sides,
            severity=WARNING,
        ),
        Check(
            "prevalence",
            f"between {low:.0%} and {high:.0%} of images with an outcome show cancer, by source",
            "above, negatives were lost or the labels inverted; calibration would follow",
            least=low,
            most=high,
        ),
    ]
