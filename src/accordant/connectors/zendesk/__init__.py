"""Zendesk Support: what a support agent has to know of a customer's account, on the organization of that customer."""
