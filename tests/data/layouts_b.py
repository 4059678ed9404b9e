"""CBIS-DDSM, INbreast and CMMD in their real layouts, of small generated files.

Names of folders and columns, orders of columns, quoted line ends, swapped paths
and misspelt regions are those of the published sets; the pixels are generated.
"""

from __future__ import annotations

import csv
import plistlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

WriteDicom = Callable[..., Path]
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CBIS_ROOT = "1.3.6.1.4.1.9590.100.1.2."
ROWS, COLUMNS = 160, 120
"""Of the files of `write_dicom` in conftest.py."""
MASS_HEADER = (
    *("patient_id", "breast_density", "left or right breast", "image view", "abnormality id"),
    *("abnormality type", "mass shape", "mass margins", "assessment", "pathology", "subtlety"),
    *("image file path", "cropped image file path", "ROI mask file path"),
)
CALC_HEADER = (
    *("patient_id", "breast density", "left or right breast", "image view", "abnormality id"),
    *("abnormality type", "calc type", "calc distribution", "assessment", "pathology", "subtlety"),
    *("image file path", "cropped image file path", "ROI mask file path"),
)
CBIS_TABLES = {
    "Mass-Training": ("mass_case_description_train_set.csv", MASS_HEADER),
    "Mass-Test": ("mass_case_description_test_set.csv", MASS_HEADER),
    "Calc-Training": ("calc_case_description_train_set.csv", CALC_HEADER),
    "Calc-Test": ("calc_case_description_test_set.csv", CALC_HEADER),
}
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Roi:
    """One abnormality as its row and its folder have it.

    ``swapped`` puts the cut-out before the mask, ``described`` False gives both the
    description of the mask, ``scale`` and ``extra`` change the mask's size.
    """

    number: int = 1
    box: Box = (20, 40, 50, 80)
    pathology: str = "BENIGN"
    assessment: str = "4"
    swapped: bool = False
    described: bool = True
    scale: int = 1
    extra: int = 0
    mask: bool = True
    values: str = "binary"


@dataclass(frozen=True)
class Case:
    """One image of CBIS-DDSM; ``style`` is how its study and series are named."""

    prefix: str = "Mass-Training"
    patient: str = "P_00001"
    side: str = "LEFT"
    view: str = "CC"
    rois: Sequence[Roi] = field(default_factory=lambda: (Roi(),))
    density: str = "3"
    style: str = "uid"
    on_disk: bool = True
    in_table: bool = True

    @property
    def name(self) -> str:
        """The folder of the image."""
        return f"{self.prefix}_{self.patient}_{self.side}_{self.view}"


def write_cbis(directory: Path, cases: Iterable[Case], write_dicom: WriteDicom) -> Path:
    """Write the images below ``CBIS-DDSM`` and the tables beside it, those that have rows."""
    lines: dict[str, list[Sequence[str]]] = {prefix: [] for prefix in CBIS_TABLES}
    for number, case in enumerate(cases):
        if case.on_disk:
            _write_case(directory / "CBIS-DDSM", case, 100 * (number + 1), write_dicom)
        if case.in_table:
            lines[case.prefix] += [_cbis_line(case, roi) for roi in case.rois]
    for prefix, (name, header) in CBIS_TABLES.items():
        if lines[prefix]:
            write_csv(directory / name, header, lines[prefix])
    return directory


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[str]]) -> Path:
    """Write a table with commas; cells with line ends are quoted, as the sets have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
    return path


def roi_mask(roi: Roi) -> np.ndarray[Any, Any]:
    """Return a mask of the region: 8 bit, 0 and 255."""
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    x_min, y_min, x_max, y_max = roi.box
    mask[y_min:y_max, x_min:x_max] = 255
    if roi.values == "empty":
        mask[:] = 0
    elif roi.values == "tissue":
        mask = np.random.default_rng(1).integers(0, 255, mask.shape).astype(np.uint8)
    mask = mask.repeat(roi.scale, 0).repeat(roi.scale, 1)
    return np.pad(mask, ((0, roi.extra), (0, roi.extra)))


def _write_case(root: Path, case: Case, seed: int, write_dicom: WriteDicom) -> None:
    full = _capture(case.name, "full mammogram images", case)
    write_dicom(_series(root / case.name, case, "full mammogram images") / "1-1.dcm", seed, **full)
    for roi in case.rois:
        name = f"{case.name}_{roi.number}"
        mask, cut = roi_mask(roi), np.full((20, 30), 900, np.uint16)
        cut[5:9, 3:20] = np.arange(17, dtype=np.uint16) * 30 + 100
        files = [("cropped images", cut), ("ROI mask images", mask)][: 2 if roi.mask else 1]
        for place, (text, pixels) in enumerate(files if roi.swapped else reversed(files), 1):
            said = text if roi.described else "ROI mask images"
            # both in one series where only one description is used, as in most of the set
            folder = _series(root / name, case, said, 0 if not roi.described else place)
            tags = _capture(name, said, case) | _pixels(pixels)
            one = place if not roi.described else 1
            write_dicom(folder / f"1-{one}.dcm", seed + 10 * roi.number + place, **tags)


def _capture(name: str, description: str, case: Case) -> dict[str, Any]:
    """Return the header of the set's files: Secondary Capture, little else."""
    return {
        "SOPClassUID": CAPTURE, "PatientID": name, "PatientName": name, "Modality": "MG",
        "BodyPartExamined": "BREAST", "SeriesDescription": description, "ImageLaterality": None,
        "Laterality": case.side[0], "PatientOrientation": case.view, "ViewPosition": None,
        "Manufacturer": None, "ManufacturerModelName": None, "SoftwareVersions": None,
        "AcquisitionDate": None, "StudyDate": "20160720", "PatientAge": None,
        "PresentationIntentType": None, "StudyInstanceUID": f"{CBIS_ROOT}{sum(map(ord, name))}",
    }  # fmt: skip


def _pixels(pixels: np.ndarray[Any, Any]) -> dict[str, Any]:
    bits = 8 * pixels.dtype.itemsize
    content = pixels.tobytes()
    return {
        "Rows": pixels.shape[0], "Columns": pixels.shape[1], "BitsAllocated": bits,
        "BitsStored": bits, "HighBit": bits - 1, "PixelData": content + b"\0" * (len(content) % 2),
    }  # fmt: skip


def _series(folder: Path, case: Case, description: str, number: int = 0) -> Path:
    if case.style == "uid":
        return (
            folder / f"{CBIS_ROOT}4221127222131896498{number}" / f"{CBIS_ROOT}34238619481{number}"
        )
    return folder / f"08-07-2016-DDSM-NA-9600{number}" / f"1.000000-{description}-6399{number}"


def _cbis_line(case: Case, roi: Roi) -> Sequence[str]:
    study, series = f"{CBIS_ROOT}111", f"{CBIS_ROOT}222"
    region = f"{case.name}_{roi.number}/{study}/{series}"
    kind = ("mass", "OVAL", "CIRCUMSCRIBED")
    if case.prefix.startswith("Calc"):
        kind = ("calcification", "PLEOMORPHIC", "CLUSTERED")
    return (
        *(case.patient, case.density, case.side, case.view, str(roi.number), *kind),
        *(roi.assessment, roi.pathology, "4"),
        # paths that are not on the disk, mask and cut-out swapped, a line end in the last two
        f"{case.name}/{study}/{series}/000000.dcm",
        f"{region}/000000.dcm\n",
        f"{region}/000001.dcm\n",
    )


INBREAST_HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
INBREAST_ROWS = (
    "removed;removed;R;CC;201001;20586908;2;5",
    "removed;removed;R;MLO;201001;20586934;2;4a",
    "removed;removed;L;CC;201001;20586960;     ;1",
    "removed;removed;L;MLO;201002;50993616;4;2",
)
INBREAST_PATIENTS = {"20586908": "6c613a14b80a8591", "50993616": "81cd83d2f4d78528"}
Region = tuple[str, Sequence[tuple[float, float]]]
INBREAST_REGIONS: dict[str, Sequence[Region]] = {
    "20586908": (
        ("Mass", ((20.5, 40.25), (49.9, 41.0), (30.0, 79.75))),
        ("Calcification", ((33.4, 60.6),)),
        ("Unnamed", ()),
    ),
    "20586934": (("Espiculated Region", ((-4.0, 100.0), (12.0, 130.5))), ("Assymetry", ())),
    "50993616": (("Point 1", ((70.0, 70.0),)), ("Cluster", ((500.0, 500.0),))),
}


def write_inbreast(
    directory: Path,
    write_dicom: WriteDicom,
    rows: Sequence[str] = INBREAST_ROWS,
    images: str = "AllDICOMs",
    names: Sequence[str] = (),
) -> Path:
    """Write the release: images named by image, patient, side and view; table; outlines."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "INbreast.csv").write_text("\n".join((INBREAST_HEADER, *rows)) + "\n")
    for seed, row in enumerate(INBREAST_ROWS):
        _, _, side, view, _, number, _, _ = row.split(";")
        patient = INBREAST_PATIENTS.get(number, INBREAST_PATIENTS["20586908"])
        name = f"{number}_{patient}_MG_{side}_{'ML' if view == 'MLO' else view}_ANON.dcm"
        tags = {
            "PatientID": "removed", "PatientName": "removed", "ImageLaterality": side,
            "ViewPosition": None, "StudyInstanceUID": f"1.2.9.{seed}", "Manufacturer": None,
            "ManufacturerModelName": None, "SoftwareVersions": None, "PatientAge": None,
        }  # fmt: skip
        write_dicom(directory / images / name, seed, **tags)
    for number, regions in INBREAST_REGIONS.items():
        write_outlines(directory / "AllXML" / f"{number}.xml", regions)
    return directory


def write_outlines(path: Path, regions: Sequence[Region]) -> Path:
    """Write a property list as OsiriX exports it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = [
        {
            "Area": 1.5, "Center": "(0.0, 0.0)", "Dev": 0.5, "IndexInImage": number, "Max": 9.0,
            "Name": name, "NumberOfPoints": len(points), "Total": 3.0, "Type": 15,
            "Point_mm": [f"({x}, {y}, 0.0)" for x, y in points],
            "Point_px": [f"({x:.6f}, {y:.6f})" for x, y in points],
        }
        for number, (name, points) in enumerate(regions)
    ]  # fmt: skip
    image = {"ImageIndex": 0, "NumberOfROIs": len(regions), "ROIs": told}
    path.write_bytes(plistlib.dumps({"Images": [image]}))
    return path


CMMD_HEADER = ("ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype")
CMMD_ROWS = (
    ("D1-0001", "R", "44", "2", "calcification", "Benign", ""),
    ("D1-0002", "L", "40", "2", "both", "Malignant", ""),
    ("D2-0247", "L", "95", "4", "mass", "Malignant", "Luminal A"),
    ("D2-0247", "R", "95", "4", "mass", "Benign", ""),
)
CMMD_IMAGES = {
    "D1-0001": ("R CC", "R MLO"),
    "D1-0002": ("L CC", "L MLO", "R CC", "R MLO"),
    "D2-0247": ("L CC", "R CC"),
}
CMMD_VIEWS = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}


def write_cmmd(
    directory: Path,
    write_dicom: WriteDicom,
    rows: Sequence[Sequence[str]] = CMMD_ROWS,
    table: str = "CMMD_clinicaldata_revision.xlsx",
    *,
    flat: bool = False,
) -> Path:
    """Write the images below ``CMMD`` and the table; ``flat`` leaves the patients' folders out."""
    seed = 0
    for patient, views in CMMD_IMAGES.items():
        for number, told in enumerate(views, 1):
            side, view = told.split()
            folder = directory / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244"
            if flat:
                folder = directory / "CMMD" / f"1.3.6.1.4.1.14519.5.2.1.1239.1759.{seed}"
            tags = {
                "PatientID": patient, "PatientName": patient, "ImageLaterality": side,
                "ViewPosition": None, "ViewCodeSequence": [_view_item(view)], "PatientAge": None,
                "StudyInstanceUID": f"1.2.8.{int(patient[-4:])}",
            }  # fmt: skip
            write_dicom(folder / f"1-{number}.dcm", seed, **tags)
            seed += 1
    write_cmmd_table(directory / table, rows)
    return directory


def write_cmmd_table(
    path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = CMMD_HEADER
) -> Path:
    """Write the table as Excel or, by the name's ending, with commas."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(header))
    if path.suffix == ".xlsx":
        numbers = frame.assign(Age=pd.to_numeric(frame["Age"])) if "Age" in frame else frame
        numbers.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def _view_item(view: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = CMMD_VIEWS[view]
    item.CodingSchemeDesignator = "SCT"
    return item
