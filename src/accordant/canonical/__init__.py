"""The hub's own nouns: entities, observations, business events, facts, write intents and receipts. Values only."""
