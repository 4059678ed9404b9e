"""Continual learning for breast-cancer detection in screening mammography.

For decision support and research; not a cleared medical device.
"""

__version__ = "0.1.0"

INTENDED_USE = (
    "Decision support and research only. Not a cleared medical device; "
    "a radiologist reads every exam."
)
