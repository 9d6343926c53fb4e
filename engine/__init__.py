"""The machine: nouns, protocols, machinery, adapters, servers and the command line."""
