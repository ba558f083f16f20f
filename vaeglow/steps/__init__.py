"""One small script a rule of the workflow; the rule, the module and the log folder share a name."""
