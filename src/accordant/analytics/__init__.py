"""What the entities add up to: recurring revenue, an account's standing, the facts a target may show. No clock."""
