"""Tables, figures and claims from result files: CSV, Markdown, HTML, LaTeX, PNG, PDF. No torch."""
