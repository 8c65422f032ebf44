"""From the cells' figures to what a reader sees: intervals, the table, the report, its charts."""
