"""The wordings of questions about charts: the last of each is for the test split alone, the last but one for val."""

import re

QUESTIONS: dict[str, tuple[str, ...]] = {
    "chart_value": (
        "What is the value of {label}?",
        "How much is {label}?",
        "Which value does {label} have?",
        "Read the value of {label}.",
        "What does the chart show for {label}?",
        "What number does {label} have in the chart?",
        "What value does the chart give for {label}?",
    ),
    "chart_percent": (
        "How many percent is {label}?",
        "What is the share of {label} in percent?",
        "How many percent does {label} have?",
        "Read the share of {label} in the chart.",
        "How much percent is {label}?",
        "What percent of the chart is {label}?",
    ),
    "chart_largest": (
        "Which is the largest?",
        "What is the largest in the chart?",
        "Which has the largest value?",
        "Name the largest.",
        "Which one is the largest in the chart?",
        "Name the one with the largest value.",
    ),
    "chart_smallest": (
        "Which is the smallest?",
        "What is the smallest in the chart?",
        "Which has the smallest value?",
        "Name the smallest.",
        "Which one is the smallest in the chart?",
        "Name the one with the smallest value.",
    ),
    "chart_larger": (
        "Is {a} larger than {b}?",
        "Is {a} more than {b}?",
        "Does {a} have a larger value than {b}?",
        "Is {a} larger than {b}? Answer yes or no.",
        "Yes or no: is {a} more than {b}?",
        "Is the value of {a} larger than {b}?",
    ),
    "chart_trend": (
        "Does the line rise or fall?",
        "What does the line do?",
        "How does the line go?",
        "Does the line rise, fall or both?",
        "Read the line: does it rise or fall?",
        "Does the line in the chart rise or fall?",
    ),
    "chart_first": (
        "Which label comes first?",
        "What is the first label?",
        "Name the first label.",
        "Which is the first in the chart?",
        "Read the first label.",
        "Which label is the first one?",
    ),
    "chart_last": (
        "Which label comes last?",
        "What is the last label?",
        "Name the last label.",
        "Which is the last in the chart?",
        "Read the last label.",
        "Which label is the last one?",
    ),
    "chart_table": (
        "Read the chart.",
        "Read all values of the chart.",
        "List all labels and values.",
        "Name all labels and values of the chart.",
        "Read all labels and values.",
        "List all values of the chart.",
    ),
    "bar_levels": (
        "Read the bars.",
        "What are the values of the bars?",
        "How much is every bar?",
        "Name the values of the bars.",
        "List the values of the bars.",
        "Read all values of the bars.",
    ),
}

SPOKEN = frozenset(
    word for group in QUESTIONS.values() for text in group for word in re.findall("[a-z]+", text.lower())
)
"""Every word of them: as labels they would make questions hard to understand."""
