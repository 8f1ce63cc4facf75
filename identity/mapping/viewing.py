"""Identifiers and pictures as somebody may see them."""

from dataclasses import replace

from identity.mapping.contracts import IdentifierLine, Picture
from ingestion.dictionary.masking import Masker


def mask_line(line: IdentifierLine, masker: Masker) -> IdentifierLine:
    return line if masker.clear else replace(line, value=masker.identifiers({line.kind: line.value})[line.kind])


def mask_picture(picture: Picture, masker: Masker) -> Picture:
    """The same picture with its identifiers hidden, in keys as in labels; numbers keep equal masks apart."""
    if masker.clear:
        return picture
    renamed = {
        node.key: node.key if node.kind == "origin" else f"i{place}" for place, node in enumerate(picture.nodes)
    }
    nodes = [
        replace(
            node,
            key=renamed[node.key],
            label=node.label if node.kind == "origin" else masker.identifiers({node.kind: node.label})[node.kind],
        )
        for node in picture.nodes
    ]
    edges = [replace(edge, one=renamed[edge.one], other=renamed[edge.other]) for edge in picture.edges]
    return replace(picture, nodes=nodes, edges=edges)
