"""What a person at a terminal sees: lines, styles, progress."""
