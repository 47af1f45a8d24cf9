"""Salesforce: customer records, opportunities and custom objects over REST."""
