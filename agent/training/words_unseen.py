"""Wishes of the example line in words that its dialogue does not list: for judging, never for training."""

from __future__ import annotations

from typing import Final

UNSEEN: Final[dict[str, tuple[str, ...]]] = {
    "track": (
        "could you tell me where my package is",
        "i would like to know where my order is right now",
        "do you know when my parcel is going to arrive",
        "can you check where my delivery has got to",
        "my package still has not come",
        "i want to track a parcel please",
        "i am calling to find out where my parcel is",
        "has my package been delivered yet",
        "i need the tracking status of my order",
        "please locate my shipment",
        "i have been waiting for my parcel since monday",
        "hi i just want to know when my order will be here",
    ),
    "change": (
        "i need to change the day of my delivery",
        "could you move my delivery to another day",
        "i would like to reschedule my parcel",
        "i am not at home tomorrow so please deliver later",
        "is it possible to get a different delivery date",
        "please postpone the delivery of my parcel",
        "can i have my parcel brought on another day",
        "i want a new delivery date please",
    ),
    "complaint": (
        "i want to make a complaint about a driver",
        "my parcel arrived broken and i am angry",
        "the package was damaged when it came",
        "something is missing from the box",
        "i have a complaint",
        "i am very unhappy with you",
        "my parcel came completely wet",
        "the driver was very rude to me",
    ),
    "hours": (
        "could you tell me your opening hours please",
        "when do you close today",
        "are you open on sunday afternoon",
        "until what time are you open today",
        "what are the opening times of the shop",
        "i want to know when you open",
    ),
    "person": (
        "i would like to speak to a human please",
        "can i talk to a real person",
        "please connect me to an agent",
        "let me talk to somebody",
        "get me an operator",
        "could you transfer me to customer service",
        "i do not want a machine i want a person",
    ),
    "goodbye": ("okay goodbye then", "thanks that is all for now bye"),
    "thanks": ("oh thank you very much", "great thanks a lot"),
    "again": ("sorry can you repeat that please", "i did not hear what you said"),
    "robot": ("wait am i talking to a robot", "are you a real human being"),
}
