"""Rules, weights and the judge."""
