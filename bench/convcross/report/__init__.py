"""The report: figures, a table of every measurement and one page, from results alone."""
