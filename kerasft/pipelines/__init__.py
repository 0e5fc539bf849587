"""Runnable pipelines, one module each: `python -m kerasft.pipelines.<name>`."""
