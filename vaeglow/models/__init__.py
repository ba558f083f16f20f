"""The models, one file an idea; `build` makes them from a resolved config."""
