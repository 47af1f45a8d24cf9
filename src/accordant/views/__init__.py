"""Read models: a frozen value and the query that fills it, one module a page. Views read; they never act."""
