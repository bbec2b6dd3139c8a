"""Recipe files (method, task, suite, judge): read, merged, checked, and named objects found."""
