"""The machine: nouns, protocols, adapters, servers and the command line."""
