"""The cases of the fuzzing, by number: importable in the processes that run them."""

from __future__ import annotations

import random
from collections import Counter

from .mutate import mutate, mutate_stream
from .oracle import ENCAPSULATED, check_file, check_stream, find_stream
from .seeds import hostile_seeds, sound_seeds

PREPARE_EVERY = 8
"""Preprocessing knows nothing of files: every eighth case goes through it."""
Wrong = dict[int, str]
"""Number of a case -> what was wrong."""


def make_case(target: str, number: int) -> tuple[str, bytes]:
    """Return the seed's name and the mutated bytes of a case."""
    rng = random.Random(f"{target} {number}")
    if target == "files":
        name, seed = rng.choice(hostile_seeds() if rng.random() < 0.25 else sound_seeds())
        return name, mutate(seed, rng)
    syntax = ENCAPSULATED[number % len(ENCAPSULATED)]
    return syntax, mutate_stream(find_stream(syntax), rng)


def check_case(target: str, number: int) -> str:
    """Return a case's outcome; raises what the oracle raises."""
    return check_bytes(target, *make_case(target, number), number)


def check_bytes(target: str, name: str, data: bytes, number: int) -> str:
    """Return the outcome of bytes; ``name`` is the syntax where they are a codestream.

    The number says what else is done with them: prepared, or decoded at half resolution.
    """
    if target == "files":
        return check_file(data, number % PREPARE_EVERY == 0)
    return check_stream(name, data, reduce=number // len(ENCAPSULATED) % 4 // 3)


def run_batch(target: str, first: int, count: int) -> tuple[dict[str, int], Wrong]:
    """Return the number of each outcome, and what was wrong with which case."""
    outcomes: Counter[str] = Counter()
    wrong: Wrong = {}
    for number in range(first, first + count):
        try:
            outcomes[check_case(target, number)] += 1
        except Exception as error:  # noqa: BLE001 - any error that escapes is a finding
            wrong[number] = f"{type(error).__name__}: {error}"[:300]
    return dict(outcomes), wrong
