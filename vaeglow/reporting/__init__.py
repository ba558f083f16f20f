"""Tables from result files: CSV and JSON in, CSV and Markdown out. No torch."""
