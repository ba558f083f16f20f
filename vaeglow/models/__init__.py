"""The models; `kinds.build` makes one from a resolved config."""
