"""Tools for planners: they read the organisation's files, propose what to change in them, and never touch a call."""
