"""Images from their sources, and the prepared arrays that every stage reads."""
