"""A call router for portfolio teams: the owner first, then the owning team, then wider rings of the organisation."""
