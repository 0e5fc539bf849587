"""The user's own files: CSV, TSV, JSON lines, Parquet, a folder of texts by class."""
