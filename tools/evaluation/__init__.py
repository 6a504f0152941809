"""Evaluations: what an encoder is worth, as numbers in a results.json.

Every evaluation has the same four parts, and a new one follows them:

1. Subject: `Downstream.open(options)` loads the encoder and both parts of a split, `begin` says how
   they differ from what it was pre-trained on and refuses labels out of range. The options are
   a record that extends `options.groups.EvaluationOptions`, in a file of their own.
2. Features: `downstream.features("train")` encodes clips. Do it within `downstream.frozen()`, which
   proves that the encoder stayed as it was.
3. Score: a function of features and labels, with no other state. Accuracies are in `metrics`.
4. Results: `write_json(folder / RESULTS, downstream.describe() | {"script": ..., figures})`.
   `describe` says what was scored, on which clips, with which settings, and on which machine.

A short script at the top of the project connects the four: options, subject, score, verdict.
`retrieval.py` is the example of a frozen encoder, `classification.py` of one that learns.
"""
