"""From facts to a target's fields: checked when the charter loads, spelled when wanted, compared before written."""
