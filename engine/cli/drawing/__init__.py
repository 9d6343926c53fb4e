"""A pipeline and its policy as a picture: Mermaid, Graphviz, or our own SVG."""
