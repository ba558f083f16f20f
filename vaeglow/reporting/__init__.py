"""Tables and figures from result files: CSV, JSON and arrays in; CSV, Markdown, PNG and PDF out. No torch."""
