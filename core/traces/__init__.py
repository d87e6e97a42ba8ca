"""Reading recorded KVM traces: text of several tracers to events, events to operations."""
