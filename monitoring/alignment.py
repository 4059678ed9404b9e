"""What the operating point of a changed scanner is set by, before outcomes are there.

The library's own (`mammo.evaluation.alignment`), under the name that the monitor's side
knows it by: triage decides when it is used, `mammo.continual.recalibrate` uses it.
"""

from mammo.evaluation.alignment import align, recall_error

__all__ = ["align", "recall_error"]
