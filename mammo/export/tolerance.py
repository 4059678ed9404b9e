"""How far a graph's logit may lie from where it was made, on another processor.

Float32 kernels differ between processors in the last bits. An int8 graph has
float layers before its first rounding; where such a bit moves a value across a
rounding step, the value moves by a whole step, and the logit with it. How far is
measured: the same image with noise in its last bits, several times.

Checked on emulated processors, lite0 with ImageNet's weights at 128 x 64: with
weights of 7 bits an AVX2 processor without VNNI gave the logits of one with
AVX-512 VNNI bit for bit; one with SSE4 only, whose float sums differ, was off by
up to 0.076, and noise in the last bits here by up to 0.101. With weights of 8
bits the AVX2 processor was off by 0.21: sums cut off at 16 bits.
"""

from __future__ import annotations

import numpy as np

from mammo.export.graphs import Scorer

FLOAT_TOLERANCE = 1e-3
"""Of float graphs: a hundred times what their kernels differ by."""
LAST_BITS = 1e-6
DRAWS = 16
MARGIN = 2.0


def logit_tolerance(score: Scorer, tensor: np.ndarray, *, rounded: bool) -> float:
    """Return the tolerance of the logit of ``tensor`` (1, H, W), for the golden check.

    ``rounded`` says that the graph is an int8 one; float graphs have the same
    tolerance all.
    """
    if not rounded:
        return FLOAT_TOLERANCE
    rng = np.random.default_rng(0)
    image = tensor[np.newaxis]
    reference = float(score(image)[0])
    moved = []
    for _ in range(DRAWS):
        noise = 1 + LAST_BITS * rng.uniform(-1, 1, image.shape)
        moved.append(abs(float(score((image * noise).astype(np.float32))[0]) - reference))
    return max(FLOAT_TOLERANCE, MARGIN * max(moved))
