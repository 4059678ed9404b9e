"""The final report, the slides and the README's table of results, from the measured numbers.

Each number is read from a results file that names its commit; none is typed into a text.
A figure that changes changes every page, and a test fails until the pages are written anew
(`python -m benchmarks.paper --write`).
"""
