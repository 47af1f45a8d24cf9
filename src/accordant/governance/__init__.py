"""Who owns what, how far a flow may go, and what may be written now. Pure: decisions with reasons."""
