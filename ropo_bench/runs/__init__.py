"""What a run is: its record, the records of single items, and what it was made with."""
