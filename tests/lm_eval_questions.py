# SPDX-License-Identifier: Apache-2.0
"""A few questions for referee_lm_eval.py: tasks as lm-evaluation-harness describes them, on questions
in the form that mamba2-eval reads."""
ACCURACIES = [{"metric": "acc"}, {"metric": "acc_norm"}]
TASKS = {
    "arc_easy": {
        "output_type": "multiple_choice", "metric_list": ACCURACIES,
        "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}"},
    "hellaswag": {
        "output_type": "multiple_choice", "metric_list": ACCURACIES,
        "doc_to_text": "{{query}}", "doc_to_choice": "choices", "doc_to_target": "{{gold}}"},
    "lambada_openai": {
        "output_type": "loglikelihood",
        "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
        "doc_to_target": "{{' '+text.split(' ')[-1]}}"},
    "piqa": {
        "output_type": "multiple_choice", "metric_list": ACCURACIES,
        "doc_to_text": "Question: {{goal}}\nAnswer:", "doc_to_choice": "{{[sol1, sol2]}}",
        "doc_to_target": "label"},
}

LONG = "The old man walked slowly along the road to the village, for the evening was warm. " * 6

QUESTIONS = {
    "arc_easy": [
        {"question": "What do plants take from the light of the sun?", "gold": 1,
         "choices": ["salt", "energy", "stones", "sound"]},
        {"question": "Which of these is heavier than water?", "gold": 0,
         "choices": ["iron", "oil", "wood"]},
        {"question": "How many legs has a spider?", "gold": 4,
         "choices": ["two", "four", "six", "seven", "eight"]},
        {"question": "Where does caf\u00e9 au lait come from?  ", "gold": 2,
         "choices": ["\u4e2d\u6587", "na\u00efvet\u00e9, \u00e9t\u00e9", "the kitchen", "\U0001f600"]},
        {"question": LONG + "Who walked?", "gold": 0, "choices": ["a man", "a man", "the sea"]},
    ],
    "hellaswag": [
        {"query": "Cooking: A woman stands in a kitchen. She", "gold": 0,
         "choices": ["cuts the bread into thin slices and smiles.", "swims to the ship.",
                     "is a horse.", "has been elected by the whole of the nation, they say."]},
        {"query": "Sailing: The captain looks at the sea. The wind ", "gold": 1,
         "choices": ["reads a book.", "begins to blow.", "marries.", "is  eaten\n by the cook."]},
        {"query": LONG + "He", "gold": 3,
         "choices": ["flew.", "sat down to rest upon a stone.", "sang.", "went home."]},
    ],
    "lambada_openai": [
        {"text": "The king loved the queen and the queen loved the king"},
        {"text": "\"My dear Mr. Bennet,\" said his lady to him one day, and he said \"My dear"},
        {"text": "He took her by the  hand"},
        {"text": "Once\nupon\u00a0a\ttime"},
        {"text": LONG + "It was a warm evening"},
        {"text": "She shook her head, and he shook his head"},
    ],
    "piqa": [
        {"goal": "To open a door,", "sol1": "turn the handle.", "sol2": "eat the handle.", "label": 0},
        {"goal": "How do I light a fire?", "sol1": "Pour water over the wood.",
         "sol2": "Hold a match to the dry wood.", "label": 1},
        {"goal": "To hear the sea at home,", "sol1": "close the window",
         "sol2": "close the window", "label": 1},
    ],
}

TEXTS = [
    "It was the best of times, it was the worst of times,\n\n it was the age of wisdom.",
    " = A heading = \n\n" + LONG + "\u201cNa\u00efve,\u201d she said; caf\u00e9 \u4e2d\u6587 \U0001f600.\n",
    "word and then some more of them, all in a line",
]

PROMPTS = [
    {"context": "Once upon a time there was a little girl who lived", "until": ["."], "tokens": 30},
    {"context": "\"My dear,\" said", "until": ["\n\n", "zebra"], "tokens": 24},
    {"context": "The sea", "until": [], "tokens": 1},
    {"context": "There was a king who had", "until": [" the", " daughter"], "tokens": 40},
    {"context": "In the beginning", "until": ["\u00e9", "and"], "tokens": 12},
]

# Contexts and continuations that end and begin in every way.
PAIRS = [
    ("", "Once upon a time"), ("", " Once"), ("", "<|endoftext|>Once upon"), ("The king", " of"),
    ("The king ", "of"), ("The king \n\t", "of England"), ("The ki", "ng of England"), ("a\u00a0", "b"),
    ("The end.<|endoftext|>", "A new"), ("\u4e2d\u6587", "\u6587"), ("caf\u00e9", "e\u0301 \U0001f600"),
    (LONG, LONG[:80]), (LONG + LONG, "x"), ("Question: Why?\nAnswer:", " Because"),
]
