"""GLUE: its tasks, the table of their scores, and the files of a submission."""
