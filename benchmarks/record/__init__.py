"""Figures of whole runs, from the files that the runs themselves write: `benchmarks/recorded.json`.

A demo, the tests, the drills, an export and the viewer's pixels are no benchmarks, and yet the
README, the report and the slides tell what came of them. Each part of the file names the run's
command, commit, day and machine, and the file that it was `read_from`. A part that a person
copied says so: `copied_by`, and from which `source`; a run that is recorded replaces it.
"""
