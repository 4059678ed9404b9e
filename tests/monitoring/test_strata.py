from __future__ import annotations

import pandas as pd
import pytest

from monitoring.config import MonitorConfig
from monitoring.features import ChannelMap
from monitoring.strata import Stratum, between_scanners, choose_baseline, strata_of

CONFIG = MonitorConfig()
AURORA = "Phantom Aurora/A1"


@pytest.fixture
def reference(make_reference) -> pd.DataFrame:
    return pd.concat(
        [
            make_reference(40),
            make_reference(30, [AURORA], software_version="2.0"),
            make_reference(5, ["Thin/T"]),
            make_reference(25, ["Silent/S"], software_version=""),
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize(
    ("stratum", "exams", "codes"),
    [
        (("site-1", AURORA, "2.0"), 30, ()),
        (("site-1", AURORA, "1.0"), 40, ()),
        (("site-2", AURORA, "1.0"), 70, ()),
        (("site-1", AURORA, "3.0"), 70, ("VERSION_NEW",)),
        (("site-1", AURORA, ""), 70, ()),
        (("site-1", "Silent/S", "9.9"), 25, ()),
        (("site-1", "Thin/T", "1.0"), 180, ("SCANNER_THIN",)),
        (("site-1", "Phantom Draco/D4", "1.0"), 180, ("SCANNER_NEW",)),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_a_stratum_is_compared_with(reference, stratum, exams, codes):
    _, values = ChannelMap.fit(reference, CONFIG)
    baseline = choose_baseline(Stratum(*stratum), reference, values, CONFIG)
    assert (len(baseline.values), baseline.codes) == (exams, codes)
    assert (baseline.tolerance > 0).any() == any("SCANNER" in code for code in codes)


def test_a_reference_smaller_than_one_stratum_needs(make_reference):
    reference = make_reference(3)
    _, values = ChannelMap.fit(reference, CONFIG)
    baseline = choose_baseline(Stratum("s", AURORA, "1.0"), reference, values, CONFIG)
    assert baseline.codes == ("SCANNER_THIN", "REFERENCE_SMALL")


def test_tolerance_is_what_scanners_differ_by_beyond_chance(make_reference):
    reference = make_reference(60)
    channels, values = ChannelMap.fit(reference, CONFIG)
    spread = dict(
        zip(channels.names, between_scanners(values, reference["scanner"], CONFIG), strict=True)
    )
    assert spread["noise"] == pytest.approx(0.4, abs=0.12)
    assert spread["contrast"] < 0.25
    one = pd.Series(["only one"] * len(reference))
    assert not between_scanners(values, one, CONFIG).any()


def test_strata_follow_the_configured_columns(make_reference):
    frame = make_reference(1, [AURORA])
    assert strata_of(frame, CONFIG)[0].name == "site-1 · Phantom Aurora/A1 · 1.0"
    scanner_only = MonitorConfig(strata=("scanner",))
    assert strata_of(frame, scanner_only)[0].slug == "phantom-aurora-a1"
    assert strata_of(frame, MonitorConfig(strata=()))[0].name == "all exams"
