"""Odoo, declared only: what it offers, and no code that calls it (docs/decisions)."""
