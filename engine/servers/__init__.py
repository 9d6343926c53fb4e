"""Front ends: a wire core, a stream and a transaction."""
