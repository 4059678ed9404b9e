"""What every model card says alike: for what, for what not, and what to mind."""

from __future__ import annotations

INTENDED = (
    "To suggest which screening exams to recall, from the four standard views of full-field "
    "digital mammography; and for research."
)
USERS = "Radiologists who read screening mammograms, and those who run and check this software."
NOT_INTENDED = (
    "To read an exam without a radiologist, or to decide alone that an exam is normal.",
    "Tomosynthesis, film, specimens, men, diagnostic work-up of a symptom: not trained for.",
    "A site or a scanner whose exams were not judged before: run it silently there first.",
)
ETHICS = (
    "A missed cancer and a needless recall both harm a woman: the operating point is a choice of "
    "the site between them, not of the model.",
    "Performance by ethnicity, ancestry or income was not measured: the data do not state them.",
    "Readers may follow a suggestion too readily: its effect on readers was not studied here.",
)
PHANTOMS = (
    "Trained on phantoms: its numbers say that the training works, not that the model reads "
    "mammograms of patients. It must not be used on patients."
)
