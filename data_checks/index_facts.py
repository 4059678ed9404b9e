"""What the rows of the index have in common, written beside each row by one SQL question.

Great Expectations looks at rows. Whatever spans rows (a file that stands twice,
views of a breast that disagree, an age that is the same for a whole source) is
found by DuckDB, out of core, as small tables of what is *wrong*, and joined to
the rows: a healthy index of ten million rows carries tables without a row.

`chunks_of` yields the frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_checks.evaluate import CHUNK_ROWS
from mammo.data.index import FEATURE_COLUMNS, INDEX_SCHEMA
from mammo.quality import QUALITY_CODES

if TYPE_CHECKING:
    import pyarrow as pa

    from mammo.data.query import IndexQuery

BREAST_LABELS = ("cancer", "abnormal", "birads", "biopsied", "invasive", "difficult")
VARYING = ("age_years", "geometry", "phash", *FEATURE_COLUMNS)
"""Columns of which a hundred images of a source never have all the same value."""
ENOUGH_TO_VARY = 100
WITH_PIXELS = (
    "rows", "columns", "quality", "geometry", "findings", "f_breast_fraction", *FEATURE_COLUMNS[1:]
)  # fmt: skip
"""What every image has whose pixels are in the store; rows of a table alone lack it."""
NAMES = ("manufacturer", "model", "software_version", "scanner", "site", "published_split")
SPELLED = ("scanner", "site", "software_version")


def _differs(column: str) -> str:
    return f"coalesce(min({column}) <> max({column}), false)"


def _grouped(name: str, keys: str, facts: dict[str, str], where: str = "true") -> str:
    """Return a table of the groups that have at least one of the facts."""
    columns = ", ".join(f"CAST({sql} AS INTEGER) AS {fact}" for fact, sql in facts.items())
    any_fact = " OR ".join(f"({sql})" for sql in facts.values())
    return (
        f"{name} AS MATERIALIZED (SELECT {keys}, {columns} FROM exams WHERE {where} "
        f"GROUP BY {keys} HAVING {any_fact})"
    )


def _counted(name: str, keys: str, count: str, where: str = "true") -> str:
    """Return a table of the keys that stand more than once, with how often."""
    return (
        f"{name} AS MATERIALIZED (SELECT {keys}, count(*) AS {count} FROM exams WHERE {where} "
        f"GROUP BY {keys} HAVING count(*) > 1)"
    )


EXAM_FACTS = {
    "patients_differ": _differs("patient_id"),
    "dates_differ": _differs("acquired_on"),
    "ages_differ": _differs("age_years"),
    "densities_differ": _differs("density"),
    "sites_differ": _differs("site"),
    "sources_differ": _differs("source"),
    # four images are the four standard views, or some side or view is wrong
    "views_unpaired": "count(*) = 4 AND count(*) FILTER (view IN ('CC', 'MLO')) = 4 "
    "AND count(DISTINCT view) = 2 AND count(DISTINCT laterality || view) < 4",
}
BREAST_FACTS = {
    **{f"{name}_differs": _differs(name) for name in (*BREAST_LABELS, "implant")},
    "outcome_times_differ": _differs("outcome_known_at"),
    "labels_partly_missing": " OR ".join(
        f"count({name}) NOT IN (0, count(*))"
        for name in (*BREAST_LABELS, "density", "age_years", "acquired_on", "implant")
    ),
}
PATIENT_FACTS = {
    "ages_against_dates": "abs((max(age_years) - min(age_years)) "
    "- (max(acquired_on) - min(acquired_on)) / 365.25) > 1.5",
    "published_splits_differ": _differs("published_split"),
}
SOURCE_FACTS = {
    **{
        f"constant_{name}": f"count({name}) >= {ENOUGH_TO_VARY} AND min({name}) = max({name})"
        for name in (*VARYING, "patient_id", "laterality")
    },
    "has_likeness": "count(phash) > 0",
}


def _spellings(column: str) -> str:
    return (
        f"spellings_{column} AS MATERIALIZED (SELECT lower(trim({column})) AS one FROM exams "
        f"GROUP BY 1 HAVING min({column}) <> max({column}))"
    )


def _question() -> str:
    pixels = ", ".join(('"rows"', '"columns"', *FEATURE_COLUMNS))
    whose = "coalesce(min(patient_id) <> max(patient_id), false)"
    tables = [
        _counted("twice_image", "image_id", "rows_of_image"),
        _counted("twice_file", "sha256", "rows_of_file", "sha256 <> ''"),
        _counted("twice_place", "shard, shard_row", "rows_of_place", "shard <> ''"),
        "exam_sizes AS (SELECT exam_id, count(*) AS views_of_exam FROM exams GROUP BY 1 "
        "HAVING count(*) > 4)",
        _grouped("exam_facts", "exam_id", EXAM_FACTS),
        _grouped("breast_facts", "exam_id, laterality", BREAST_FACTS),
        _grouped("patient_facts", "patient_id", PATIENT_FACTS),
        f"pixel_facts AS MATERIALIZED (SELECT hash({pixels}) AS look FROM exams "
        f"WHERE f_noise IS NOT NULL GROUP BY 1 HAVING {whose})",
        "like_facts AS MATERIALIZED (SELECT phash AS likeness FROM exams WHERE phash IS NOT NULL "
        f"GROUP BY 1 HAVING {whose})",
        "source_facts AS MATERIALIZED (SELECT source, avg(cancer) AS prevalence, "
        + ", ".join(f"CAST({sql} AS INTEGER) AS {name}" for name, sql in SOURCE_FACTS.items())
        + " FROM exams GROUP BY source)",
        *map(_spellings, SPELLED),
    ]
    joined = [
        *(f"coalesce({name}, 0) AS {name}" for name in (*EXAM_FACTS, *BREAST_FACTS)),
        *(f"coalesce({name}, 0) AS {name}" for name in PATIENT_FACTS),
        *(name for name in SOURCE_FACTS if name != "has_likeness"),
        *(f"coalesce({name}, 1) AS {name}" for name in
          ("rows_of_image", "rows_of_file", "rows_of_place", "views_of_exam")),
        "CAST(pixel_facts.look IS NOT NULL AS INTEGER) AS pixels_of_others",
        "CAST(like_facts.likeness IS NOT NULL AS INTEGER) AS likeness_of_others",
        *(f"CAST(spellings_{name}.one IS NOT NULL AS INTEGER) AS {name}_spelled_twice"
          for name in SPELLED),
        "prevalence",
    ]  # fmt: skip
    own = [f"CAST({sql} AS INTEGER) AS {name}" for name, sql in ROW_FACTS.items()]
    spelled = " ".join(
        f"LEFT JOIN spellings_{name} ON lower(trim(exams.{name})) = spellings_{name}.one"
        for name in SPELLED
    )
    return (
        f"WITH {', '.join(tables)} SELECT exams.*, {', '.join((*joined, *own))} FROM exams "
        "LEFT JOIN twice_image USING (image_id) LEFT JOIN twice_file USING (sha256) "
        "LEFT JOIN twice_place USING (shard, shard_row) LEFT JOIN exam_sizes USING (exam_id) "
        "LEFT JOIN exam_facts USING (exam_id) "
        "LEFT JOIN breast_facts USING (exam_id, laterality) "
        "LEFT JOIN patient_facts USING (patient_id) "
        "LEFT JOIN source_facts USING (source) "
        f"LEFT JOIN pixel_facts ON hash({pixels}) = pixel_facts.look "
        "AND exams.f_noise IS NOT NULL "
        f"LEFT JOIN like_facts ON exams.phash = like_facts.likeness {spelled}"
    )


def _unlike(column: str, form: str) -> str:
    return f"coalesce(NOT regexp_full_match({column}, '{form}'), true)"


_CODES = ", ".join(f"'{code}'" for code in QUALITY_CODES)
_MADE_OF = "concat_ws('/', nullif(manufacturer, ''), nullif(model, ''))"
ROW_FACTS = {
    "original_image_id": _unlike("image_id", "I-[0-9a-f]{16}"),
    "original_exam_id": _unlike("exam_id", "E-[0-9a-f]{16}"),
    "original_patient_id": _unlike("patient_id", "P-[0-9a-f]{16}"),
    "odd_digest": "sha256 <> '' AND " + _unlike("sha256", "[0-9a-f]{64}"),
    "odd_likeness": "phash IS NOT NULL AND " + _unlike("phash", "[0-9a-f]{64}"),
    "odd_shard": "shard <> '' AND (shard_row < 0 OR contains(shard, '/') OR contains(shard, '.'))"
    " OR shard = '' AND shard_row <> -1",
    "file_without_digest": "shard <> '' AND coalesce(sha256, '') = ''",
    "lacks_likeness": "shard <> '' AND phash IS NULL AND has_likeness = 1",
    **{f"lacks_{name}": f"shard <> '' AND \"{name}\" IS NULL" for name in WITH_PIXELS},
    **{
        f"untidy_{name}": f"{name} <> trim({name}) OR regexp_matches({name}, '[[:cntrl:]]') "
        f"OR length({name}) > {512 if name == 'software_version' else 64} OR contains({name}, '^')"
        for name in NAMES
    },
    "scanner_differs": "coalesce(manufacturer, model) IS NOT NULL AND "
    f"scanner <> coalesce(nullif({_MADE_OF}, ''), 'unknown')",
    "model_lacking": "(manufacturer IS NULL) <> (model IS NULL)",
    "unknown_codes": "len(list_filter(string_split(quality, '|'), "
    f"lambda x: x NOT IN ('', {_CODES})))",
    "implant_denied": "implant = false AND list_contains(string_split(quality, '|'), 'IMPLANT')",
    "cancer_not_abnormal": "cancer = 1 AND abnormal = 0",
    "cancer_not_biopsied": "cancer = 1 AND biopsied = 0",
    "invasive_not_cancer": "invasive = 1 AND coalesce(cancer, 0) <> 1",
    "invasive_not_biopsied": "invasive = 1 AND biopsied = 0",
    "difficult_cancer": "difficult = 1 AND cancer = 1",
    # a day's grace: one is UTC, the other the scanner's own date
    "known_before_image": "CAST(outcome_known_at AS DATE) + 1 < acquired_on",
    "known_without_outcome": "outcome_known_at IS NOT NULL AND coalesce(cancer, abnormal) IS NULL",
}
"""Facts of one row alone, as SQL: 0 or 1, or a count; null where a part is unknown."""
JSON_FACTS = (
    "findings_unreadable", "boxes_outside", "malignant_without_cancer",
    "geometry_unreadable", "geometry_of_other_size", "crop_outside", "chest_side_differs",
    "height_mm",
)  # fmt: skip


def chunks_of(query: IndexQuery, rows: int = CHUNK_ROWS) -> Iterator[pd.DataFrame]:
    """Yield the index in frames of about ``rows`` rows with the facts beside each row.

    The first frame comes even when the index is empty.
    """
    given = False
    for chunk in _gathered(query.batches(_question()), rows):
        given = True
        yield _with_json_facts(_frame(chunk))
    if not given:
        yield _with_json_facts(query.frame(_question()))


def _gathered(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if held and (sum(one.num_rows for one in held)):
        yield pa.Table.from_batches(held)


def _frame(table: pa.Table) -> pd.DataFrame:
    # nullable integers become floats: the engine takes pd.NA for a value, NaN for null
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _with_json_facts(frame: pd.DataFrame) -> pd.DataFrame:
    found = [
        _findings_facts(*row)
        for row in zip(
            frame["findings"], frame["rows"], frame["columns"], frame["cancer"], strict=True
        )
    ]
    placed = [
        _geometry_facts(*row)
        for row in zip(
            frame["geometry"], frame["rows"], frame["columns"], frame["laterality"],
            strict=True,
        )
    ]  # fmt: skip
    frame[list(JSON_FACTS[:3])] = pd.DataFrame(
        found, index=frame.index, columns=list(JSON_FACTS[:3]), dtype="float64"
    )
    frame[list(JSON_FACTS[3:7])] = pd.DataFrame(
        placed, index=frame.index, columns=list(JSON_FACTS[3:7]), dtype="float64"
    )
    frame["height_mm"] = frame["rows"].astype("float64") * frame["spacing_mm"].astype("float64")
    return frame


def _findings_facts(text: Any, rows: Any, columns: Any, cancer: Any) -> tuple[float, ...]:
    """Return: unreadable, boxes outside the image, malignant boxes of a breast without cancer."""
    if not text or text == "[]" or text != text:
        return 0, 0, 0
    try:
        boxes = json.loads(text)
        outside = sum(not _inside(box, rows, columns) for box in boxes)
        denied = sum(box.get("malignant") is True for box in boxes) if cancer == 0 else 0
    except (ValueError, KeyError, TypeError, AttributeError):
        return 1, 0, 0
    return 0, outside, denied


def _inside(box: dict[str, Any], rows: Any, columns: Any) -> bool:
    return bool(
        0 <= box["x_min"] < box["x_max"] <= columns and 0 <= box["y_min"] < box["y_max"] <= rows
    )


_UNKNOWN = float("nan")


def _geometry_facts(text: Any, rows: Any, columns: Any, laterality: Any) -> tuple[float, ...]:
    """Return: unreadable, of another size than the image, crop outside, chest on the other side."""
    if not text or text in ("{}", "null") or text != text:
        return 0, 0, 0, _UNKNOWN
    try:
        one = json.loads(text)
        other = one["rows"] != rows or one["columns"] != columns
        inside = (
            0 <= one["x0"] < one["x1"] <= one["columns"]
            and 0 <= one["y0"] < one["y1"] <= one["rows"]
            and one["scale"] > 0 and one["pad_x"] >= 0 and one["pad_y"] >= 0
        )  # fmt: skip
        width = one["x1"] - one["x0"]
        side = _side(one, width)
    except (ValueError, KeyError, TypeError):
        return 1, 0, 0, _UNKNOWN
    chest = _UNKNOWN if side is None else float(side != laterality)
    return 0, float(other), float(not inside), chest


def _side(one: dict[str, Any], width: int) -> str | None:
    """Return the breast whose chest wall lies where the crop was set; None where both may be.

    The prepared image is padded away from the chest wall, and the left breast
    hangs with its chest wall at the left (`mammo.preprocess`).
    """
    if one["pad_x"] > 0:
        return "R"
    if one["x0"] == 0 and width < one["columns"]:
        return "L"
    return "R" if one["x1"] == one["columns"] and one["x0"] > 0 else None


COLUMNS = tuple(field.name for field in INDEX_SCHEMA)
