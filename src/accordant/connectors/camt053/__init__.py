"""Statements of the company's own bank accounts, as files that the bank leaves: which payout has really arrived."""
