from typing import TypeAlias

Terms: TypeAlias = tuple[bytes, bytes, frozenset[bytes], int, int, int, int]
Sign: TypeAlias = str | bytes
Weighed: TypeAlias = tuple[int, int, dict[int, Sign]]

def weighed(
    terms: Terms, text: bytes, others: dict[int, Sign], weights: memoryview, least: int
) -> Weighed: ...
