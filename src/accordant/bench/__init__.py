"""Benchmarks: whole runs on data of realistic size and shape, medians of several, printed as one JSON object a line.

Loads are made by the stand-ins; the hub under test runs in processes of its own, as in production.
"""
