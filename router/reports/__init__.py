"""What the router knows of itself, for people: pictures of the organisation and figures from the journal."""
