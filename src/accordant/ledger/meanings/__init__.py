"""What each kind of event means in the books: a module for each family of events, and one table that leads to them."""
