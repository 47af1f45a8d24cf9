"""Stripe: billing and payments."""
