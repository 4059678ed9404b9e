"""CBIS-DDSM: digitised film, cases with a called abnormality, masks of each.

Layout (The Cancer Imaging Archive, NBIA Data Retriever), in any folder:
``<set>-<split>_<patient>_<side>_<view>/<study>/<series>/1-1.dcm`` is an image,
``..._<n>/<study>/<series>/1-1.dcm`` and ``1-2.dcm`` the mask and the cut-out of
its abnormality n, in one series or two; studies and series are named by UID or
by description. ``(mass|calc)_case_description_(train|test)_set.csv`` have a row
per abnormality. Their paths do not match the disk and swap mask and cut-out, so
files are found by the case's folder, and masks by their size and values.

Patient and exam are the case, P_00001, whichever set it is in, as for the
``dicom`` source. ``cancer`` is of the breast: true if any abnormality of it, of
either set, is MALIGNANT, ``abnormal`` if any was called back (not all are
BENIGN_WITHOUT_CALLBACK); ``birads`` is its worst assessment. Subtlety is not kept.
A breast with masses and calcifications has its images twice, in Mass and in
Calc, each with the findings of that set. Some patients are in the training part
of one set and the test part of the other: they have no ``published_split``.

Terms: CC BY 3.0. Source: Lee et al. (2017), A curated mammography data set for
use in computer-aided detection and diagnosis research, Scientific Data 4:170177;
data: Sawyer-Lee et al. (2016), doi:10.7937/K9/TCIA.2016.7O02S9CY.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mammo.data.listing import Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.sources.cbis_tables import (
    SIDES,
    VIEWS,
    Abnormality,
    Splits,
    label_breasts,
    labels_of_image,
    read_tables,
)
from mammo.data.sources.dicom_folder import list_dicom
from mammo.data.sources.masks import FileHead, peek, rank_masks, read_mask_box
from mammo.data.sources.told_view import settle_view
from mammo.dicom.deidentify import header_json, pseudonym
from mammo.dicom.read import decode_image, read_file
from mammo.errors import MaskInvalid, ReadError
from mammo.exam import Finding, Scanner, View

FOLDER = re.compile(r"((?:Mass|Calc)-(?:Training|Test)_P_\d{5}_(?:LEFT|RIGHT)_(?:CC|MLO))(?:_\d+)?")
SCANNER = Scanner("DDSM", "film-digitiser")
"""Four digitisers were used; the files do not say which."""


def list_cbis(directory: Path) -> Listing:
    """List the images below a folder with the labels of their breasts.

    An image without a row is listed unlabelled, with a remark; a row without an
    image is missing. An abnormality without a mask that fits its image is told
    as MASK_INVALID, and the image listed without it.

    Raises
    ------
    SourceNotFound
        None of the four tables is there.
    TableInvalid
        A table lacks columns, a cell holds what the set does not, or two rows
        are of one abnormality.
    """
    rows = list(read_tables(directory))
    found = list_dicom(directory)
    files = _by_folder(found.items)
    of_image: defaultdict[str, list[Abnormality]] = defaultdict(list)
    for abnormality in rows:
        of_image[abnormality.image].append(abnormality)
    labels, splits = label_breasts(rows), Splits(rows)
    items, remarks = [], list(splits.remarks)
    unentered = list(found.unentered)
    for name in sorted(name for name in files if FOLDER.fullmatch(name) and not _is_region(name)):
        path = _full_image(files[name])
        told = of_image.get(name, [])
        if not told:
            remarks.append(f"the image in {name} has no row in the set's tables: it is unlabelled")
        findings = [_finding_facts(path, one, files, unentered) for one in told]
        facts = {"case": name, "findings": json.dumps(findings)}
        known = labels_of_image(told, labels, splits)
        items.append(SourceItem(path, known, tuple(facts.items())))
    missing = tuple(
        f"{name}/1-1.dcm ({told[0].row.place})"
        for name, told in sorted(of_image.items())
        if name not in files
    )
    return Listing(tuple(items), missing, tuple(unentered), remarks=tuple(remarks))


def read_cbis(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one image and the masks of its abnormalities.

    A mask that turns out to be none leaves its finding out, under the quality
    code FINDING_LEFT_OUT. Raises what `mammo.dicom.read.read_mammogram` raises.
    """
    facts = dict(item.facts)
    _, patient, side, view = _parse_case(facts["case"])
    told = View(SIDES[side], VIEWS[view])
    read = read_file(
        item.path, key=options.key, site="cbis-ddsm", max_bytes=options.max_bytes, told=told
    )
    found = settle_view(read.mammogram, told)
    findings = list(_read_findings(facts, found.rows, found.columns, options))
    quality = {*found.quality, *(["FINDING_LEFT_OUT"] if None in findings else [])}
    mammogram = replace(
        found,
        # as `mammo.dicom.deidentify.identify` has it: one patient, whichever source reads her
        patient_id=pseudonym(options.key, "patient", patient),
        exam_id=pseudonym(options.key, "exam", patient),
        scanner=found.scanner if found.scanner.manufacturer else SCANNER,
        quality=tuple(sorted(quality)),
    )
    labels = replace(item.labels, findings=tuple(one for one in findings if one is not None))
    image = decode_image(read, options.reduce)
    return Reading(mammogram, image, labels, header_json(read.file, options.key))


def _by_folder(items: Iterable[SourceItem]) -> dict[str, list[Path]]:
    """Return the files of each case's folder, at whatever depth it lies."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for item in items:
        for part in item.path.parts[:-1]:
            if FOLDER.fullmatch(part):
                files[part].append(item.path)
                break
    return files


def _is_region(name: str) -> bool:
    return name.rpartition("_")[2].isdigit()


def _parse_case(name: str) -> tuple[str, str, str, str]:
    """Return set and part, patient, side and view of ``Mass-Training_P_00001_LEFT_CC``."""
    prefix, letter, number, side, view = name.split("_")
    return prefix, f"{letter}_{number}", side, view


def _full_image(paths: Sequence[Path]) -> Path:
    """Return the mammogram among the files of its folder: mostly there is one only."""
    if len(paths) == 1:
        return paths[0]
    heads = [head for path in paths if (head := _peek(path)) is not None]
    full = [head for head in heads if "full" in head.description.lower()] or heads
    return max(full, key=lambda head: head.rows * head.columns).path if full else paths[0]


def _finding_facts(
    image: Path,
    one: Abnormality,
    files: Mapping[str, list[Path]],
    unentered: list[tuple[Path, ReadError]],
) -> dict[str, object]:
    """Return what reading needs to know of an abnormality; tell what is wrong with its mask."""
    paths = files.get(one.folder, [])
    heads = [head for path in paths if (head := _peek(path)) is not None]
    full = _peek(image)
    # an image that cannot be read is refused when it is read
    masks = heads if full is None else rank_masks(full, heads)
    if not masks and full is not None:
        unentered.append((Path(one.folder), _misfit(one, full, heads)))
    return {
        "kind": one.kind,
        "malignant": one.malignant,
        "birads": one.birads,
        "masks": [str(head.path) for head in masks],
    }


def _misfit(one: Abnormality, image: FileHead, heads: Sequence[FileHead]) -> MaskInvalid:
    found = f"its files have {', '.join(head.size for head in heads)} pixels"
    if not heads:
        found = "there is no DICOM file in its folder"
    return MaskInvalid(
        f"{one.row.place}: no mask of the abnormality fits its image of {image.size} pixels, "
        f"{found}. The image is kept without this finding; fetch the folder "
        f"{one.folder} anew from The Cancer Imaging Archive"
    )


def _peek(path: Path) -> FileHead | None:
    try:
        return peek(path)
    except ReadError:
        return None  # whoever decodes it says what is wrong with it


def _read_findings(
    facts: Mapping[str, str], rows: int, columns: int, options: ReadOptions
) -> Iterator[Finding | None]:
    """Yield the findings of an image, None for one without a mask that is one."""
    for told in json.loads(facts["findings"]):
        try:
            box = read_mask_box(map(Path, told["masks"]), rows, columns, options.max_bytes)
        except MaskInvalid:
            yield None
        else:
            yield Finding(*box, told["kind"], malignant=told["malignant"], birads=told["birads"])


SOURCE = Source(
    "cbis-ddsm",
    "*_case_description_*_set.csv with <case>/<study>/<series>/1-1.dcm (digitised film)",
    list_cbis,
    read_cbis,
)
"""The reader of CBIS-DDSM."""
