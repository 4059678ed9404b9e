"""What may be otherwise with phantoms: in which exams, by how much, and nothing else."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from mammo.dicom.phantom import SCANNER_PROFILES, write_phantoms
from mammo.dicom.phantom_exam import draw_exam
from mammo.dicom.phantom_variation import Variation
from mammo.errors import SourceInvalid

AURORA, BOREALIS = SCANNER_PROFILES["aurora"], SCANNER_PROFILES["borealis"]


def test_no_change_is_the_scanner_itself() -> None:
    assert Variation().applied(AURORA) == AURORA
    assert Variation(noise=3.0, ramp=True).applied(AURORA, 0.0) == AURORA


@pytest.mark.parametrize(
    ("variation", "share"),
    [
        (Variation(part=0.5), 0.5),
        (Variation(part=0.2), 0.2),
        (Variation(scanners=("aurora",)), 1.0),
        (Variation(scanners=("borealis",)), 0.0),
    ],
)
def test_it_holds_for_its_share_in_any_stretch(variation: Variation, share: float) -> None:
    held = [variation.holds("aurora", index, 7) for index in range(200)]
    for start in (0, 60, 140):
        assert abs(sum(held[start : start + 40]) - 40 * share) <= 2


def test_a_ramp_ends_where_the_change_is_whole() -> None:
    ageing = Variation(noise=4.0, blur=2.0, ramp=True)
    half = ageing.applied(AURORA, ageing.strength(50, 101))
    assert half.noise == pytest.approx(2 * AURORA.noise)
    assert ageing.strength(100, 101) == 1.0
    # the dose of a noisier detector stays: exposure makes up for what its noise would take
    whole = ageing.applied(AURORA)
    assert whole.exposure / np.sqrt(whole.noise) == pytest.approx(1 / np.sqrt(AURORA.noise))


def test_older_women_are_older_and_less_dense() -> None:
    def women(years: float) -> tuple[float, float]:
        patients = [
            draw_exam(3, index, cancer=False, older_years=years).patient for index in range(300)
        ]
        return (
            float(np.mean([one.age for one in patients])),
            float(np.mean([one.glandular for one in patients])),
        )

    (age, dense), (older, less_dense) = women(0.0), women(10.0)
    assert older - age == pytest.approx(10, abs=2) and less_dense < dense


@pytest.mark.parametrize("given", [{"part": 1.2}, {"lost_views": -0.1}, {"noise": 0.0}])
def test_numbers_out_of_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SourceInvalid, match=next(iter(given))):
        Variation(**given)


def test_a_window_that_is_not_there_stays_away() -> None:
    narrow = Variation(window=0.4)
    assert narrow.applied(BOREALIS).window == (1850, 880, "SIGMOID")
    assert narrow.applied(SCANNER_PROFILES["eridanus"]).window is None


def test_only_what_is_named_changes_in_the_files(tmp_path: Path) -> None:
    sets = {
        "before": (),
        "version": (Variation(software_version="9.9"),),
        "window": (Variation(window=0.2), Variation(window=2.0)),
        "lost": (Variation(lost_views=1.0),),
    }
    for name, variations in sets.items():
        write_phantoms(tmp_path / name, exams=1, scanner="aurora", seed=5, variations=variations)
    files = {
        name: {path.name: pydicom.dcmread(path) for path in (tmp_path / name).rglob("*.dcm")}
        for name in sets
    }
    for name, before in files["before"].items():
        assert files["version"][name].PixelData == before.PixelData
        assert files["version"][name].SoftwareVersions == "9.9"
        assert files["window"][name].PixelData == before.PixelData
        assert files["window"][name].WindowWidth == pytest.approx(0.4 * before.WindowWidth)
    assert len(files["lost"]) == 3 and set(files["lost"]) < set(files["before"])
    with (tmp_path / "lost" / "train.csv").open() as stream:
        assert {f"{row['image_id']}.dcm" for row in csv.DictReader(stream)} == set(files["lost"])
