"""Two rows of runs beside each other, column by column and item by item."""
