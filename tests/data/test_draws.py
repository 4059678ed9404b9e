"""Which images make up a batch."""

from __future__ import annotations

import numpy as np
import pytest

from mammo.data import draws as module
from mammo.data.draws import Draw, EpochDraws
from mammo.data.replay import sampling_weights

LABELS = np.array(([1] + [0] * 19) * 5)
SCANNERS = np.array(["old"] * 60 + ["new"] * 40)


def draws(**changes: object) -> EpochDraws:
    weights = sampling_weights(LABELS, SCANNERS, positive_share=0.3)
    return EpochDraws(weights, LABELS, **({"batch_size": 8, "seed": 3} | changes))  # type: ignore[arg-type]


def batches(source: EpochDraws, epoch: int = 0) -> list[list[Draw]]:
    source.set_epoch(epoch)
    return list(source)


def test_an_epoch_follows_from_seed_and_number_alone() -> None:
    first = draws()
    assert batches(first, 0) != batches(first, 1)
    assert batches(first, 5) == batches(draws(), 5)  # epoch 5 without the four before it
    assert batches(first) != batches(draws(seed=4))


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [(8, 0.125, {1}), (16, 0.3, {4, 5}), (8, 0.01, {1}), (4, 1.0, {3})],
    ids=["one of eight", "taking turns", "at least one", "at least one negative"],
)
def test_every_batch_has_its_positives(size: int, share: float, expected: set[int]) -> None:
    counts = {
        sum(int(LABELS[draw.item]) for draw in batch)
        for epoch in range(3)
        for batch in batches(draws(batch_size=size, positive_share=share), epoch)
    }
    assert counts == expected


def test_by_weights_alone_some_batches_have_no_positive() -> None:
    drawn = [b for epoch in range(20) for b in batches(draws(), epoch)]
    counts = [sum(int(LABELS[draw.item]) for draw in batch) for batch in drawn]
    assert min(counts) == 0 and 0.25 < sum(counts) / 2000 < 0.35


def test_scanners_keep_their_weight_among_the_positives() -> None:
    labels = np.array(([1] + [0] * 9) * 10)
    scanners = np.array(["old"] * 80 + ["new"] * 20)
    weights = sampling_weights(labels, scanners, positive_share=0.3, focus="new", replay_share=0.2)
    source = EpochDraws(weights, labels, batch_size=10, seed=1, positive_share=0.3)
    items = [d.item for epoch in range(40) for batch in batches(source, epoch) for d in batch]
    positive = scanners[[item for item in items if labels[item]]]
    assert 0.75 < (positive == "new").mean() < 0.85


@pytest.mark.parametrize(
    ("changes", "count", "last"),
    [({}, 13, 4), ({"drop_last": True}, 12, 8), ({"batch_size": 200}, 1, 100),
     ({"positive_share": 0.3}, 12, 8)],
)  # fmt: skip
def test_the_last_batch(changes: dict[str, object], count: int, last: int) -> None:
    drawn = batches(draws(**changes))
    assert len(drawn) == count == len(draws(**changes))
    assert len(drawn[-1]) == last


def test_devices_share_out_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batches(draws())
    parts = []
    for rank in range(2):
        monkeypatch.setattr(module, "_place", lambda rank=rank: (rank, 2))
        parts.append(batches(draws()))
    assert len(parts[0]) == len(parts[1]) == 6  # twelve full batches; the ragged one is left out
    mixed = [batch for pair in zip(*parts, strict=True) for batch in pair]
    assert mixed == whole[:12]
