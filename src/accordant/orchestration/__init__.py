"""In which order things are done: pure, and never a step too far. Next: `incident.py`."""
