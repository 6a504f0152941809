"""What an evaluation said of each test clip: confusions, mistakes by name, accuracy of each class.

Axes: N clips, L classes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from tools.evaluation.results import Json, load_scores
from tools.report.figures import label, wilson
from tools.report.folder import RunFolder


def answers(
    name: str, note: str, names: Sequence[str], labels: Sequence[int], said: Sequence[int]
) -> Json:
    """Count what was said.

    Args:
        name: of the evaluation.
        note: which clips these are.
        names: N clips.
        labels: N true classes.
        said: N classes.

    Returns:
        counts (true, said, clips), mistakes (name, true, said), and for each class that occurs
        its clips, the right ones, the accuracy and its 95 % interval, in percent.
    """
    counts = Counter(zip(labels, said, strict=True))
    clips = Counter(labels)
    rows = []
    for each in sorted(set(labels) | set(said)):
        number, right = clips[each], counts[each, each]
        if number:
            rows.append([each, number, right, 100 * right / number, *wilson(right, number)])
        else:  # said, but nobody's class: a column without a row
            rows.append([each, 0, 0, None, None, None])
    mistakes = [one for one in zip(names, labels, said, strict=True) if one[1] != one[2]]
    return {
        "name": name,
        "note": note,
        "counts": [[truth, answer, number] for (truth, answer), number in sorted(counts.items())],
        "mistakes": [list(one) for one in mistakes],
        "classes": rows,
    }


def of_classifiers(run: RunFolder, data: Json) -> Iterator[Json]:
    """Answers of every classifier that left its scores on the report's own data."""
    for folder, results in run.results:
        if any(results[key] != data[key] for key in ("dataset", "protocol")):
            continue
        for one in results.get("runs", [])[:1]:  # further runs differ by their seed only
            path = folder / one["scores"]
            if path.is_file():
                scores = load_scores(path)
                said = scores.scores.argmax(axis=1).tolist()
                name = f"{label(results)} (last epoch), {results['stream']}, {folder.name}"
                note = f"All {len(said):,} test clips; {path.name} holds their scores."
                yield answers(name, note, scores.names, scores.labels.tolist(), said)


def most_confused(test: Json, most: int, of_a_pair: int = 3) -> list[str]:
    """Names of clips of the pairs that are confused most, a few of each pair, worst pair first."""
    pairs = Counter((truth, said) for _, truth, said in test["mistakes"])
    found = []
    for pair, _ in pairs.most_common():
        names = [name for name, truth, said in test["mistakes"] if (truth, said) == pair]
        found += names[:of_a_pair]
    return found[:most]
