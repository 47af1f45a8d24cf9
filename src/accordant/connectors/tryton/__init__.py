"""Tryton, an ERP: parties, invoices and moves over its JSON-RPC; start with `connector.py`."""
