"""Fault injection: events, scenarios and plans of exploration. Imports core only."""
