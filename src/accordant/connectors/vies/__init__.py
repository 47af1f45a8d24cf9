"""The European Commission's register of value-added tax numbers (VIES). It holds no records of ours: it is asked."""
