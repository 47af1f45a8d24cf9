"""The console: server-rendered pages over the read models. Next: `routes.py`, which builds it."""
