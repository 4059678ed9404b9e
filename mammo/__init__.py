"""Continual learning for breast-cancer detection in screening mammography.

For decision support and research; not a cleared medical device.
"""

import os

# ONNX Runtime 1.29 and later reports model names, hashes and hardware to its maker unless this is
# set before it is first imported; a hospital's model and machines are nobody else's business
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

INTENDED_USE = (
    "Decision support and research only. Not a cleared medical device; "
    "a radiologist reads every exam."
)
