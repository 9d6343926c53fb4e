"""One file, one filter, one question about a mail."""
