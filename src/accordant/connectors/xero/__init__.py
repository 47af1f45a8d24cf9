"""Xero, an ERP: contacts, invoices, credit notes, payments and journals by its API; start with `connector.py`."""
