from typing import TypeAlias

Terms: TypeAlias = tuple[bytes, bytes, frozenset[bytes], int, int, int, int]

def numbered(terms: Terms, text: bytes, start: int) -> dict[int, bytes]: ...
