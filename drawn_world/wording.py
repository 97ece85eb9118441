"""Every wording of every question, and the tables of labels: plain ASCII, short, the same in all splits.

Not here: words to be read (words.py). `corpus_words` lists what a tokenizer should know as whole words.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random

from drawn_world import palette
from drawn_world.shapes import kinds as shapes

QUESTIONS: dict[str, tuple[str, ...]] = {
    "colour": (
        "What colour is the {kind}?",
        "Which colour does the {kind} have?",
        "What color is the {kind}?",
        "Name the colour of the {kind}.",
        "The {kind} has which colour?",
    ),
    "shape": (
        "What shape is {colour}?",
        "Which shape is {colour}?",
        "What is the {colour} shape?",
        "Name the {colour} shape.",
        "What kind of shape is the {colour} one?",
    ),
    "name": (
        "What do you see?",
        "What is this?",
        "What is in the picture?",
        "Name what you see.",
        "What is shown here?",
    ),
    "count": (
        "How many {things} are there?",
        "How many {things} do you see?",
        "Count the {things}.",
        "How many {things} are in the picture?",
        "What is the number of {things}?",
    ),
    "relate": (
        "Is the {a} {relation} the {b}?",
        "Is the {a} {relation} the {b}? Answer yes or no.",
        "Does the {a} lie {relation} the {b}?",
        "Yes or no: is the {a} {relation} the {b}?",
    ),
    "relate_what": (
        "What is {relation} the {b}?",
        "Which shape is {relation} the {b}?",
        "What do you see {relation} the {b}?",
        "What lies {relation} the {b}?",
    ),
    "ground": (
        "Where is {label}?",
        "Detect the bounding box of {label}.",
        "Find {label}.",
        "Give the box of {label}.",
        "Locate {label}.",
        "Draw a box around {label}.",
    ),
    "point": (
        "Point at {label}.",
        "Point to {label}.",
        "Give a point on {label}.",
        "Click on {label}.",
        "Click {label}.",
    ),
    "read_word": (
        "Read the word.",
        "What is written here?",
        "Which word is this?",
        "What does it say?",
        "Read the text.",
        "What word do you see?",
    ),
    "read_lines": (
        "Read the lines.",
        "Read all lines.",
        "What do the lines say?",
        "Read the lines from the top.",
    ),
    "read_number": (
        "Read the number.",
        "Which number is this?",
        "What number is written here?",
        "What number do you see?",
        "Read the digits.",
    ),
    "page_value": (
        "What is the {key}?",
        "Read the {key}.",
        "What does the page give as {key}?",
        "Which {key} is on the page?",
        "What is written after {key}?",
        "{key}?",
    ),
    "page_heading": (
        "What is the heading?",
        "Read the heading.",
        "What is the title of the page?",
        "Which word is at the top?",
    ),
    "checked": (
        "Is the box {label} checked?",
        "Is {label} checked?",
        "Is the option {label} on?",
        "Is {label} turned on?",
    ),
    "field": (
        "What is in the field {label}?",
        "Read the field {label}.",
        "What does the field {label} say?",
        "Which text is in the {label} field?",
    ),
    "window_title": (
        "What is the title of the window?",
        "Which window is this?",
        "Read the title.",
        "What is the window called?",
    ),
    "direction": (
        "In which direction does the {thing} move?",
        "Which way does the {thing} go?",
        "Where does the {thing} move?",
        "Does the {thing} move left, right, up or down?",
        "What is the direction of the {thing}?",
    ),
    "first": (
        "Which shape comes first?",
        "What comes first?",
        "What appears first?",
        "Which shape appears first?",
    ),
    "last": (
        "Which shape comes last?",
        "What comes last?",
        "What appears last?",
        "Which shape appears last?",
    ),
    "same": (
        "Are the two pictures the same?",
        "Do the two pictures show the same?",
        "Is the second picture the same as the first?",
        "Are both pictures equal?",
    ),
    "same_or_different": (
        "Same or different?",
        "Are the pictures the same or different?",
        "Compare the two pictures: same or different?",
    ),
    "larger_in": (
        "In which picture is the {kind} larger?",
        "Which picture has the larger {kind}?",
        "Where is the {kind} larger, first or second?",
    ),
    "which_has": (
        "Which picture has a {kind}?",
        "In which picture is there a {kind}?",
        "Where do you see a {kind}, first or second?",
    ),
    "caption": (
        "Describe the picture.",
        "What do you see from left to right?",
        "List the shapes from left to right.",
        "Name all shapes.",
    ),
    "shape_rows": ("Name the shapes row by row.", "Read the rows of shapes.", "List the shapes in every row."),
    "track": ("Point at the {thing} from first to last.", "Give a point on the {thing} from first to last."),
    "film_rows": ("Name the shapes from first to last.", "List the shapes from first to last."),
    "copy": ("Copy the word {word}.", "Say {word}.", "Repeat the word {word}.", "Write {word}."),
    "first_letter": ("What is the first letter of {word}?", "Which letter does {word} start with?"),
    "last_letter": ("What is the last letter of {word}?", "Which letter does {word} end with?"),
    "plus": ("What is {a} plus {b}?", "{a} + {b} =", "Add {a} and {b}.", "How much is {a} + {b}?"),
    "minus": ("What is {a} minus {b}?", "{a} - {b} =", "Take {b} from {a}.", "How much is {a} - {b}?"),
    "opposite": ("What is the opposite of {word}?", "Name the opposite of {word}.", "The opposite of {word} is"),
    "larger": ("Which is larger, {a} or {b}?", "What is more, {a} or {b}?", "Name the larger number: {a}, {b}."),
    "fact": ("What colour is {thing}?", "Which colour does {thing} have?", "Name the colour of {thing}."),
    "who": ("Who are you?", "What are you?", "What is your name?", "Tell me who you are."),
    "hello": ("Hello", "Hello!", "Hi", "Hi!", "Good day."),
}

IDENTITY = "I am nano, a small vision language model."
GREETING = "hello"
SYSTEM = "You are a helpful assistant."
RELATIONS = ("left of", "right of", "above", "below")
DIRECTIONS = ("left", "right", "up", "down")
OPPOSITES = (
    ("left", "right"),
    ("up", "down"),
    ("yes", "no"),
    ("on", "off"),
    ("first", "last"),
    ("black", "white"),
    ("big", "small"),
    ("hot", "cold"),
    ("above", "below"),
    ("open", "closed"),
    ("day", "night"),
    ("same", "different"),
)
FACTS = {
    "snow": "white",
    "grass": "green",
    "blood": "red",
    "coal": "black",
    "milk": "white",
    "the sky": "blue",
    "a lemon": "yellow",
    "the sun": "yellow",
    "a tomato": "red",
    "a leaf": "green",
}
PAGE_KEYS = ("Name", "Date", "Total", "Room", "Code", "City", "Price", "Phone", "Item", "Order")
# fmt: off
BUTTONS = (
    "Save", "Open", "Close", "Cancel", "Send", "Print", "Copy", "Paste", "Cut", "Undo",
    "Redo", "Find", "Help", "Next", "Back", "Start", "Stop", "Play", "Pause", "Reset",
    "Apply", "Edit", "Home", "Login", "Search", "Share", "Delete", "Add", "Remove", "Update",
    "Reload", "Exit", "Yes", "No", "OK", "More", "Menu", "Upload", "Sort", "Zoom",
)
# fmt: on
BOXES = ("Wifi", "Sound", "Dark", "Sync", "Alerts", "Photos", "Backup", "Radio", "Camera", "Private")
FIELDS = ("Name", "Email", "City", "Phone", "Code", "User")
TABS = ("General", "Network", "Display", "Privacy", "About", "Keys", "Fonts", "Mouse")
TITLES = ("Settings", "Editor", "Mail", "Files", "Notes", "Player", "Shop", "Music", "Account", "Clock")
CONTROL_LABELS = {
    "button": ("the button {label}", "the {label} button", "{label}"),
    "checkbox": ("the box {label}", "the checkbox {label}"),
    "field": ("the field {label}", "the {label} field"),
    "tab": ("the tab {label}", "the {label} tab"),
}
OTHER = ("first second yes no same different shape shapes object objects a an the", IDENTITY, GREETING, SYSTEM)


def phrase(rng: Random, wordings: Sequence[str], ease: float = 0.0, split: str | None = None, /, **parts: str) -> str:
    """One wording of a question; with probability `ease` always the first, so that distances to the image repeat.

    split: the last wording belongs to "test" and the last but one to "val" alone, training has all others; None leaves
    every wording to all.
    """
    if split is not None:
        wordings = {"test": wordings[-1:], "val": wordings[-2:-1]}.get(split, wordings[:-2])
    return (wordings[0] if ease and rng.random() < ease else rng.choice(wordings)).format(**parts)


def texts_of(questions: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """All wordings of all questions."""
    return tuple(wording for wordings in questions.values() for wording in wordings)


def ask(rng: Random, question: str, ease: float = 0.0, /, **parts: str) -> str:
    """Choose a wording of one of QUESTIONS; with probability `ease` always the first."""
    return phrase(rng, QUESTIONS[question], ease, **parts)


def corpus_words() -> list[str]:
    """Every word, sorted, that questions, answers and the system text can use, except words to be read."""
    tables: list[str] = [*palette.COLOURS, *shapes.KINDS, *shapes.PLURALS.values(), *RELATIONS, *DIRECTIONS, *OTHER]
    tables += [*PAGE_KEYS, *(key.lower() for key in PAGE_KEYS), *BUTTONS, *BOXES, *FIELDS, *TABS, *TITLES]
    tables += [*FACTS, *FACTS.values(), *(word for pair in OPPOSITES for word in pair)]
    tables += [text for group in (*QUESTIONS.values(), *CONTROL_LABELS.values()) for text in group]
    plain = (re.sub(r"\{\w+\}", " ", text) for text in tables)
    return sorted({word for text in plain for word in re.findall(r"[A-Za-z]+", text)})
