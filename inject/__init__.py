"""Fault injection: events, plans and exploration have their place here. Nothing is built yet."""
