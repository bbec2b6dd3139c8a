"""What lies in a model folder, held against what its config says: nothing is loaded that would be made up."""
