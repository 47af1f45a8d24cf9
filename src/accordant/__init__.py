"""Accordant keeps billing, CRM, ERP and support in agreement, and can prove it."""
