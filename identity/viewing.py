"""Profiles as somebody may see them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from identity.contracts import ProfileView
from ingestion.dictionary.masking import Masker


def mask_profile(view: ProfileView, masker: Masker) -> ProfileView:
    """The same profile with its traits and identifiers hidden as the masker has it; its name follows from both."""
    if masker.clear:
        return view
    return replace(view, traits=masker.traits(view.traits), identifiers=masker.identifiers(view.identifiers))


def mask_profiles(views: Iterable[ProfileView], masker: Masker) -> list[ProfileView]:
    return [mask_profile(view, masker) for view in views]


def mask_identifiers(found: Mapping[int, dict[str, list[str]]], masker: Masker) -> dict[int, dict[str, list[str]]]:
    return {id_: masker.identifiers(kinds) for id_, kinds in found.items()}
