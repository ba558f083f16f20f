"""The models; `base.build` makes one from a resolved config."""
