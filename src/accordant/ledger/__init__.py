"""The books: what commercial events mean in debits and credits, and when revenue is earned. Pure."""
