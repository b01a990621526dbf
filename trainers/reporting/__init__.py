"""Reports of results: tables, figures and pages."""
