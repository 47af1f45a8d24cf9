"""The command line: the same words and states as the console, as tables or as JSON. Start at `main.py`."""
