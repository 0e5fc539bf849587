"""Files of the user's own: CSV, TSV, JSON lines, Parquet, a folder of texts by class."""
