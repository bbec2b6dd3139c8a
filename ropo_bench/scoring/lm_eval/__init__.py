"""Any task, group or tag of lm-eval, over a loaded engine; its metrics, item by item."""
