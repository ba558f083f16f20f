"""One module a kind of figure: `draw(sources) -> Figure`; `vaeglow.reporting.figures` lists them. No torch."""
