"""Questions from people who know what they need, but not what it is called.

They name no product and share no word with its card, so only their meaning can lead to it.
Every kind of product that a world may contain has three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.worlds import World

NEEDS = {
    "blender": (
        "How do I get a fruit smoothie?",
        "I want to turn vegetables into soup.",
        "What crushes ice and berries?",
    ),
    "camera": (
        "I would like to take pictures on holiday.",
        "What would please a young photographer?",
        "How do I capture a beautiful sunset?",
    ),
    "doorbell": (
        "I never notice when guests arrive at my house.",
        "Visitors knock and nobody hears them.",
        "What rings at the entrance?",
    ),
    "drill": (
        "How do I get holes into a wall?",
        "A bolt must go through a plank.",
        "Which tool bores through brick?",
    ),
    "fan": (
        "It is too hot in here and I would love a breeze.",
        "What moves the air on a summer day?",
        "How do I cool myself at my desk?",
    ),
    "headset": (
        "I talk to colleagues in video calls all day.",
        "What do gamers wear to hear and speak?",
        "I want to listen without disturbing others.",
    ),
    "heater": (
        "My room is freezing in winter.",
        "How do I keep my feet warm at night?",
        "What helps against a cold bathroom?",
    ),
    "humidifier": (
        "The air in my bedroom is too dry.",
        "What adds moisture to a room?",
        "My plants suffer because there is no mist.",
    ),
    "kettle": (
        "I want boiling water for a cup of tea.",
        "How do I heat water quickly?",
        "What do I brew my coffee with?",
    ),
    "keyboard": (
        "I have to type long letters.",
        "My computer lacks something to write with.",
        "The keys of my laptop are stuck.",
    ),
    "lantern": (
        "I need light in my tent.",
        "What shines in the dark when I go camping?",
        "How do I find the path at night?",
    ),
    "metronome": (
        "How do I keep a steady beat at the piano?",
        "My pupils play faster and faster.",
        "What ticks at a fixed tempo for musicians?",
    ),
    "mixer": (
        "I want to whip cream for a cake.",
        "What kneads dough for bread?",
        "How do I beat eggs without effort?",
    ),
    "printer": (
        "How do I get my essay onto paper?",
        "I want copies of my photos to hang up.",
        "What brings ink onto a page?",
    ),
    "projector": (
        "How can we watch a film on a big wall?",
        "I give talks and show slides to an audience.",
        "What turns my living room into a cinema?",
    ),
    "radio": (
        "I would like to hear the morning news while I cook.",
        "What receives music broadcasts?",
        "How do I tune in to a station?",
    ),
    "sander": (
        "I want rough wood to be smooth.",
        "How do I remove old paint from a plank?",
        "What polishes a surface before varnish?",
    ),
    "scanner": (
        "How do I turn paper documents into digital files?",
        "I want my old photos on my computer.",
        "What reads a page into an image?",
    ),
    "screwdriver": (
        "How do I tighten the loose legs of a chair?",
        "I must assemble flat-pack furniture.",
        "Which tool turns bolts?",
    ),
    "shaver": (
        "How do I get rid of my beard?",
        "My husband wants to trim his stubble.",
        "What removes hair from the chin?",
    ),
    "speaker": (
        "What plays music loudly at a party?",
        "I want better sound from my phone.",
        "How can everybody in the garden hear the songs?",
    ),
    "thermometer": (
        "Does my child have a fever?",
        "How do I know how warm the bath is?",
        "What measures temperature?",
    ),
    "toothbrush": (
        "How do I get clean teeth?",
        "My dentist says that my gums are in danger.",
        "What helps against plaque in the mouth?",
    ),
    "vacuum cleaner": (
        "How do I get crumbs off the carpet?",
        "There is dust under my sofa.",
        "What sucks up dog hair from the floor?",
    ),
}


@dataclass(frozen=True)
class Need:
    """A question without a name; any card of the family answers it."""

    text: str
    family: str
    products: tuple[str, ...]


def need_questions(world: World) -> list[Need]:
    """Three questions for every family of the world, in the order of the catalogue."""
    families: dict[str, list] = {}
    for product in world.products:
        families.setdefault(product.family, []).append(product)
    return [
        Need(text, family, tuple(product.name for product in products))
        for family, products in families.items()
        for text in NEEDS[products[0].kind]
    ]
