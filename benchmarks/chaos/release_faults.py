"""Releases that load and then answer NaN, or that are not what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.chaos.fault import Bench, Fault, count
from benchmarks.chaos.releases import write_good, write_nan
from benchmarks.chaos.served import RELEASE, Served, point_to, wait_until
from mammo.release import Release

NAN, NAN_GOLDEN, UNSIGNED, SPOILED = (
    f"r-20260302-{name}" for name in ("00000000", "11111111", "22222222", "33333333")
)


def release_of(served: Served) -> str:
    """Return the id of the release that answers."""
    return str(_release(served)["release"])


def nan_release(bench: Bench, exams: int = 3) -> Fault:
    """Swap to a release that loads, passes its golden and answers NaN; then swap back."""
    served, settings = bench.served, bench.served.settings
    point_to(settings, write_nan(settings, NAN))
    wait_until(lambda: release_of(served) == NAN)
    statuses = bench.try_new(exams)
    scored = bench.sent[-exams:]
    code = bench.client.send(scored[0].exam, scored[0].key)[1].get("code")
    logged = sum(bench.logged(one) for one in scored)
    point_to(settings, settings.releases_dir / RELEASE)
    wait_until(lambda: release_of(served) == RELEASE)
    again = [bench.send(one) for one in scored]
    books = bench.books()
    return Fault(
        "release that answers NaN",
        "a release that loads and whose golden is right; its network gives NaN on exams",
        f"{count(statuses)} {code}, {logged} logged; sent again to the release before: "
        f"{count(again)}",
        {
            "refused as SCORE_NOT_FINITE": (set(statuses), code) == ({"500"}, "SCORE_NOT_FINITE"),
            "nothing is logged": logged == 0,
            "sent again it is answered": set(again) == {"200"},
            "books": books.balance,
        },
        {"books": books.to_json()},
    )


def refused_releases(bench: Bench) -> Fault:
    """Point to releases with a NaN golden, without a signature, and with a changed file."""
    settings = bench.served.settings
    wanted = {
        _nan_golden(bench): "PARITY",
        _unsigned(bench): "SIGNATURE_INVALID",
        _spoiled(bench): "DIGEST_MISMATCH",
    }
    seen, served_by, statuses = list[str](), set[str](), list[str]()
    for directory in wanted:
        point_to(settings, directory)
        wait_until(lambda: _refused(bench.served) == directory.name)  # noqa: B023 - called at once
        seen.append(_release(bench.served)["refused"]["code"])
        statuses += bench.try_new(1)
        served_by.add((bench.sent[-1].answer or {}).get("release", ""))
    point_to(settings, settings.releases_dir / RELEASE)
    wait_until(lambda: _refused(bench.served) is None)
    books = bench.books()
    return Fault(
        "release that must not serve",
        "its golden is NaN; it has no signature; a byte of its network was changed",
        f"refused as {', '.join(seen)}; the release before answers: {count(statuses)}",
        {
            "each is refused with its code": seen == list(wanted.values()),
            "the release before answers": (set(statuses), served_by) == ({"200"}, {RELEASE}),
            "books": books.balance,
        },
        {"books": books.to_json()},
    )


def _release(served: Served) -> dict[str, object]:
    return Bench(served).get("/v1/release").json()


def _refused(served: Served) -> str | None:
    refused = _release(served)["refused"]
    return refused["release"] if refused else None  # type: ignore[index]


def _nan_golden(bench: Bench) -> Path:
    settings = bench.served.settings
    directory = write_good(settings, NAN_GOLDEN)
    with np.load(directory / "golden.npz") as stored:
        golden = {**stored, "logit": np.float64("nan")}
    np.savez_compressed(directory / "golden.npz", **golden)
    Release.read(directory).seal(directory, settings.keys_dir)
    return directory


def _unsigned(bench: Bench) -> Path:
    directory = write_good(bench.served.settings, UNSIGNED)
    (directory / "signature.json").unlink()
    return directory


def _spoiled(bench: Bench) -> Path:
    directory = write_good(bench.served.settings, SPOILED)
    data = bytearray((directory / "model.onnx").read_bytes())
    data[-1] ^= 1
    (directory / "model.onnx").write_bytes(bytes(data))
    return directory
