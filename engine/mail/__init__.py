"""Nouns: frozen, slotted, in the field's own words."""
