"""Collector: OTLP in, write-ahead log, priced rows, Delta/Parquet out."""
