"""QuickBooks Online, an ERP: customers, invoices, payments and journals by its API; start with `connector.py`."""
