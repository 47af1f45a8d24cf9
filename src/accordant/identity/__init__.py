"""Whose is it, and is it newer than what we hold? Pure: crosswalk look-ups, and the fold into entities."""
