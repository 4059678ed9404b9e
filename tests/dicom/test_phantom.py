"""The phantom: files, determinism, physics of the texture, boxes, bad files."""

from __future__ import annotations

import csv
import hashlib
import itertools
from dataclasses import astuple
from datetime import date
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian

from mammo.dicom.phantom import FIRST_DAY, list_profiles, spread_cancers, write_phantoms
from mammo.dicom.phantom_anatomy import Tissue, draw_tissue
from mammo.dicom.phantom_bad import BAD_FILES, write_bad_files
from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, render_view
from mammo.dicom.phantom_file import encode_pixels
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.dicom.phantom_tables import RSNA_COLUMNS, TRUTH_COLUMNS
from mammo.dicom.phantom_texture import power_law_field
from mammo.dicom.read import read_mammogram, read_mammogram_header
from mammo.errors import SourceInvalid
from mammo.exam import Laterality, View, ViewPosition
from mammo.preprocess import PreprocessConfig, prepare

pytestmark = pytest.mark.slow

LEFT_CC = View(Laterality.LEFT, ViewPosition.CC)
DECODERS = {
    "borealis": imagecodecs.jpeg8_decode,
    "cygnus": lambda data: np.frombuffer(imagecodecs.dicomrle_decode(data, dtype="<u2"), "<u2"),
    "draco": imagecodecs.jpegls_decode,
    "eridanus": imagecodecs.jpeg2k_decode,
}


def decode(dataset: pydicom.Dataset, scanner: str) -> np.ndarray:
    if dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian:
        return dataset.pixel_array
    stored = DECODERS[scanner](next(generate_frames(dataset.PixelData)))
    return stored.reshape(dataset.Rows, dataset.Columns)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*.*"))
    }


def spectrum_exponent(image: np.ndarray, spacing_mm: float) -> float:
    """Return b of 1/f**b between 0.1 and 1 cycles/mm, over rings of a Hann-windowed square."""
    size = min(image.shape)
    square = image[:size, :size] - image[:size, :size].mean()
    power = np.abs(np.fft.fft2(square * np.outer(np.hanning(size), np.hanning(size)))) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size, spacing_mm)] * 2))
    edges = np.geomspace(0.1, 1.0, 14)
    rings = [(frequency >= a) & (frequency < b) for a, b in itertools.pairwise(edges)]
    points = [(frequency[ring].mean(), power[ring].mean()) for ring in rings if ring.sum() > 3]
    return -float(np.polyfit(*np.log(np.array(points)).T, 1)[0])


def behind_nipple(tissue: Tissue, half_mm: float = 22) -> np.ndarray:
    nipple_x, nipple_y = tissue.outline.nipple_mm
    half = round(half_mm / tissue.spacing_mm)
    row = round(nipple_y / tissue.spacing_mm)
    first = max(round(0.55 * nipple_x / tissue.spacing_mm) - half, 0)
    return tissue.density[row - half : row + half, first : first + 2 * half]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phantoms")
    write_phantoms(directory, exams=5, scanner=list(SCANNER_PROFILES), seed=11, cancer_rate=0.6)
    return directory


def test_layout_is_the_rsna_challenge_s(phantoms: Path) -> None:
    rows = read_rows(phantoms / "train.csv")
    assert tuple(rows[0]) == RSNA_COLUMNS
    assert len(rows) == 20
    for row in rows:
        assert (phantoms / "train_images" / row["patient_id"] / f"{row['image_id']}.dcm").is_file()
    assert {(row["laterality"], row["view"]) for row in rows[:4]} == {
        ("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"),
    }  # fmt: skip


def test_cancer_is_of_one_breast_and_its_boxes_are_in_both_views(phantoms: Path) -> None:
    rows = read_rows(phantoms / "train.csv")
    truth = read_rows(phantoms / "truth.csv")
    assert tuple(truth[0]) == TRUTH_COLUMNS
    sick = {(row["patient_id"], row["laterality"]) for row in rows if row["cancer"] == "1"}
    assert len(sick) == len({patient for patient, _ in sick}) == 3
    marked = [row for row in truth if row["malignant"] == "1"]
    views = {(row["patient_id"], row["laterality"], row["view"]) for row in marked}
    assert views == {(patient, side, view) for patient, side in sick for view in ("CC", "MLO")}
    assert {row["image_id"] for row in truth} == {row["image_id"] for row in rows}


@pytest.mark.parametrize("scanner", SCANNER_PROFILES)
def test_file_of_each_scanner(phantoms: Path, scanner: str) -> None:
    profile = SCANNER_PROFILES[scanner]
    truth = [row for row in read_rows(phantoms / "truth.csv") if row["scanner"] == scanner]
    path = phantoms / "train_images" / truth[0]["patient_id"] / f"{truth[0]['image_id']}.dcm"
    dataset = pydicom.dcmread(path)
    assert dataset.SOPClassUID.name.endswith("For Presentation")
    assert dataset.PatientID == truth[0]["patient_id"]
    assert (dataset.ImageLaterality, dataset.ViewPosition) == ("L", "CC")
    assert dataset.Manufacturer == profile.manufacturer
    assert dataset.AcquisitionDate == truth[0]["acquired_on"].replace("-", "")
    assert dataset.PatientAge.endswith("Y")
    assert dataset.file_meta.TransferSyntaxUID == profile.transfer_syntax
    stored = decode(dataset, scanner)
    assert stored.shape == profile.shape
    assert stored.max() <= 4095
    air = 4095 if dataset.PhotometricInterpretation == "MONOCHROME1" else 0
    assert (stored[:, -20:] == air).mean() > 0.95, "air is not at the end of the scale"
    assert 0.1 < (stored != air).mean() < 0.75


def test_headers_tell_how_the_breast_was_exposed(phantoms: Path) -> None:
    """Thick breasts need more voltage and charge, and so does a scanner of little noise."""
    rows = read_rows(phantoms / "train.csv")
    told = [
        read_mammogram_header(
            phantoms / "train_images" / row["patient_id"] / f"{row['image_id']}.dcm",
            key=b"k", site="s",
        ).exposure
        for row in rows
    ]  # fmt: skip
    values = np.array([astuple(one) for one in told], dtype=float)
    assert np.isfinite(values).all()
    assert (values >= (20, 50, 25, 10)).all()
    assert (values <= (110, 200, 34, 400)).all()
    assert np.corrcoef(values[:, 0], values[:, 2])[0, 1] > 0.5
    assert len(set(told)) == len(told)


def test_scanners_differ_as_vendors_do() -> None:
    profiles = SCANNER_PROFILES.values()
    assert len(profiles) >= 5
    for field in ("manufacturer", "machine_id", "spacing_mm", "noise", "tone", "transfer_syntax"):
        assert len({getattr(profile, field) for profile in profiles}) == len(profiles), field
    assert sum(profile.inverted for profile in profiles) == 1
    assert set(list_profiles()) == set(SCANNER_PROFILES)


@pytest.mark.parametrize("scanner", SCANNER_PROFILES)
def test_codecs_are_exact(scanner: str) -> None:
    exam = draw_exam(1, 0, cancer=True)
    profile = SCANNER_PROFILES[scanner]
    stored, _ = render_view(exam, LEFT_CC, profile, np.random.default_rng(0))
    encoded = encode_pixels(stored, profile.transfer_syntax)
    if profile.transfer_syntax == ExplicitVRLittleEndian:
        decoded = np.frombuffer(encoded, "<u2")
    else:
        decoded = DECODERS[scanner](next(generate_frames(encoded)))
    assert np.array_equal(decoded.reshape(stored.shape), stored)


def test_same_seed_same_bytes_whatever_the_processes(tmp_path: Path) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        write_phantoms(tmp_path / name, exams=2, scanner="cygnus", seed=5, processes=processes)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_other_seed_other_ids_and_uids(tmp_path: Path) -> None:
    seen: list[set[str]] = []
    for seed in (5, 6):
        write_phantoms(tmp_path / str(seed), exams=1, scanner="draco", seed=seed)
        rows = read_rows(tmp_path / str(seed) / "train.csv")
        paths = (tmp_path / str(seed)).rglob("*.dcm")
        files = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
        assert len({file.StudyInstanceUID for file in files}) == 1
        seen.append(
            {row["image_id"] for row in rows}
            | {row["patient_id"] for row in rows}
            | {file.SOPInstanceUID for file in files}
            | {file.StudyInstanceUID for file in files}
        )
    assert not seen[0] & seen[1]


def test_dates_progress_and_software_version(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_phantoms(
        tmp_path, exams=3, scanner="aurora", seed=1, start=date(2025, 3, 1), days=30,
        software_version="5.0.0", progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls == [(1, 3), (2, 3), (3, 3)]
    days = sorted({row["acquired_on"] for row in read_rows(tmp_path / "truth.csv")})
    assert days == ["2025-03-01", "2025-03-11", "2025-03-21"]
    dataset = pydicom.dcmread(next(tmp_path.rglob("*.dcm")), stop_before_pixels=True)
    assert dataset.SoftwareVersions == "5.0.0"
    assert date.fromisoformat(days[0]) > FIRST_DAY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scanner": "lyra"}, "No scanner profile lyra; there are aurora, borealis"),
        ({"scanner": []}, "No scanner profile given"),
        ({"exams": 0}, "0 exams asked for; a set holds 1 to 100000."),
        ({"cancer_rate": 1.2}, "A cancer rate of 1.2 was asked for; it lies in 0 to 1."),
        ({"seed": -1}, "Seed -1 is negative"),
    ],
)
def test_refusals_name_what_is_allowed(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    arguments = {"exams": 2, "scanner": "aurora", "seed": 1} | changes
    with pytest.raises(SourceInvalid, match=message):
        write_phantoms(tmp_path / "set", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 1.0])
def test_cancers_are_spread_evenly(rate: float) -> None:
    cancers = spread_cancers(100, rate, seed=3)
    assert sum(cancers) == pytest.approx(100 * rate, abs=2)
    assert sum(cancers[:50]) == pytest.approx(50 * rate, abs=2)


@pytest.mark.parametrize("exponent", [2.7, 3.0, 3.3])
def test_power_law_of_the_field(exponent: float) -> None:
    fields = [
        power_law_field(np.random.default_rng(seed), (400, 400), 0.2, exponent=exponent)
        for seed in range(3)
    ]
    measured = np.mean([spectrum_exponent(field, 0.2) for field in fields])
    assert measured == pytest.approx(exponent, abs=0.15)


def test_tissue_has_the_spectrum_of_a_mammogram() -> None:
    exponents = []
    for index in range(12):
        patient, view = draw_exam(9, index, cancer=False).patient, SCREENING_VIEWS[index % 4]
        tissue = draw_tissue(patient, view, np.random.default_rng(index), 0.2)
        exponents.append(spectrum_exponent(behind_nipple(tissue), 0.2))
    assert 2.7 < np.mean(exponents) < 3.3


def test_density_class_orders_the_glandular_area() -> None:
    area: dict[str, list[float]] = {}
    for index in range(60):
        patient = draw_exam(21, index, cancer=False).patient
        tissue = draw_tissue(patient, LEFT_CC, np.random.default_rng(index), 0.8)
        breast = tissue.distance_mm > 0
        area.setdefault(patient.density, []).append(float((tissue.density[breast] > 0.35).mean()))
    means = [np.mean(area[letter]) for letter in "ABCD"]
    assert means == sorted(means)
    assert means[3] > 3 * means[0]


def test_both_breasts_of_a_woman_look_alike() -> None:
    """Left and right of one woman agree more than of two women."""
    maps = []
    for index in range(8):
        patient = draw_exam(33, index, cancer=False).patient
        views = [View(side, ViewPosition.CC) for side in (Laterality.LEFT, Laterality.RIGHT)]
        tissues = [draw_tissue(patient, v, np.random.default_rng(index), 1.0) for v in views]
        maps.append([tissue.density[75:155, 10:45].ravel() for tissue in tissues])
    agreement = np.array(
        [[np.corrcoef(left, right)[0, 1] for _, right in maps] for left, _ in maps]
    )
    same, other = np.diag(agreement), agreement[~np.eye(len(maps), dtype=bool)]
    assert same.mean() > other.mean() + 0.1


def test_lesions_stand_out_where_the_boxes_are() -> None:
    """With and without the cancer, an exam differs inside the boxes and nowhere else."""
    profile = SCANNER_PROFILES["aurora"]
    for index in range(3):
        with_cancer, without = (draw_exam(2, index, cancer=cancer) for cancer in (True, False))
        side = with_cancer.cancer_side
        assert side is not None
        for position in (ViewPosition.CC, ViewPosition.MLO):
            view = View(side, position)
            sick, boxes = render_view(with_cancer, view, profile, np.random.default_rng(7))
            well, _ = render_view(without, view, profile, np.random.default_rng(7))
            change = np.abs(sick.astype(float) - well)
            box = boxes[-1]
            rows = slice(int(box.y_min), int(box.y_max))
            inside = change[rows, int(box.x_min) : int(box.x_max)]
            assert inside.sum() > 0.5 * change.sum()
            assert inside.max() > 200


def test_conspicuity_scales_the_cancer_alone() -> None:
    plain, strong = (draw_exam(4, 1, cancer=True, conspicuity=c) for c in (1.0, 2.0))
    for side, lesions in plain.lesions.items():
        for lesion, other in zip(lesions, strong.lesions[side], strict=True):
            expected = 2.0 if lesion.malignant else 1.0
            assert other.contrast == pytest.approx(expected * lesion.contrast)


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bad")
    expected = write_bad_files(directory, seed=3)
    assert {path.name for path in directory.iterdir()} == set(expected) == set(BAD_FILES)
    assert len(set(expected.values())) >= 10
    return directory


@pytest.mark.parametrize("name", BAD_FILES)
def test_reader_refuses_each_bad_file(name: str, bad_files: Path) -> None:
    error = BAD_FILES[name][0]
    with pytest.raises(error):
        _, image = read_mammogram(bad_files / name, key=b"key", site="test")
        prepare(image, PreprocessConfig())


@pytest.mark.parametrize("scanner", SCANNER_PROFILES)
def test_reader_finds_the_breast_of_each_scanner(phantoms: Path, scanner: str) -> None:
    rows = [row for row in read_rows(phantoms / "truth.csv") if row["scanner"] == scanner]
    path = phantoms / "train_images" / rows[0]["patient_id"] / f"{rows[0]['image_id']}.dcm"
    mammogram, image = read_mammogram(path, key=b"key", site="test")
    assert str(mammogram.view) == f"{rows[0]['laterality']} {rows[0]['view']}"
    assert mammogram.scanner.manufacturer == SCANNER_PROFILES[scanner].manufacturer
    assert mammogram.spacing_mm == pytest.approx(SCANNER_PROFILES[scanner].spacing_mm)
    prepared = prepare(image, PreprocessConfig())
    # one scanner writes 16-bit codestreams of 12-bit films, as RSNA's do
    assert set(prepared.quality) <= {"PRECISION_MISMATCH"}
    background = np.median(prepared.pixels[:, -2:])
    assert background < 0.05 * 65535 < np.percentile(prepared.pixels, 90)
