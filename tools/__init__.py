"""What writes pages, tables of keys and references from results, and builds the site. Not part of the package."""
