"""Protocols for everything outside the pure core, with the obligations an implementation must keep."""
