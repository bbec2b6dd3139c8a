"""The sections of a report, one file each; `report/gather.py` lists them in their order."""
