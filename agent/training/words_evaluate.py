"""Judge a recogniser: ``python -m agent.training.words_evaluate TRIALS.npz --engine words [--weights W.onnx]``.

Without trials yet: ``--make --speech DIR --dialogue FLOW.yaml --count 200`` makes them first. Prints one line a group:
how many, how many wrong (something else was taken), how many asked again (nothing was taken), and the CPU. With
``--condition echo20`` the clean trials are judged again in noise, over a lossy network, into our own voice, and the
table says how many more errors that makes of the same sayings.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from agent.argument_types import count
from agent.brain.flow.dates import read_date
from agent.brain.flow.digits import luhn, read_digits
from agent.brain.flow.load import load_dialogue
from agent.brain.flow.machine import SURE_WORDS
from agent.brain.flow.match import Matcher
from agent.brain.flow.words import normalise
from agent.brain.flow.yes_no import read_yes_no
from agent.expectation import ExpectKind
from agent.model.parts.both_engine import BothEngine
from agent.model.parts.engine import Engine, Guess, open_engine
from agent.training.command import command
from agent.training.errors import TrainingError
from agent.training.words_compare import Judged, compared, comparison, report, scores_of
from agent.training.words_conditions import Condition, under
from agent.training.words_trials import Trial, human, load, save, synthetic

TODAY: Final = date(2026, 11, 25)
PIECE: Final = 480
"""Samples fed at once: the ears' 60 ms."""
Reader = Callable[[Trial, Guess], tuple[str, bool]]
"""What is taken, and whether the caller is only asked if that is meant."""


def reader(dialogue: Path) -> Reader:
    """What the brain takes from the words of a trial."""
    intents = load_dialogue(dialogue).intents
    matcher = Matcher(
        [(intent.name, intent.patterns) for intent in intents.values()],
        {intent.name: intent.words for intent in intents.values()},
    )

    def wish(guess: Guess) -> tuple[str, bool]:
        tokens = normalise(guess.words)
        found = matcher.best(tokens)
        if found is not None and guess.confidence >= SURE_WORDS:
            return found.intent, False
        name = found.intent if found is not None else matcher.guess(tokens)
        return (name, True) if name and intents[name].confirm else ("", False)

    def read(trial: Trial, guess: Guess) -> tuple[str, bool]:
        return wish(guess) if trial.expect.kind is ExpectKind.PHRASES else (value(trial, guess.words), False)

    def value(trial: Trial, words: Sequence[str]) -> str:
        expect = trial.expect
        if expect.kind is ExpectKind.DIGITS:
            figures = read_digits(words, length=expect.digits, check=expect.check or "none").digits
            whole = len(figures) == expect.digits and (expect.check != "luhn" or luhn(figures))
            # A part of a number is asked for again; where no number was said, any digit is one too many.
            return figures if whole or not trial.truth else ""
        if expect.kind is ExpectKind.YES_NO:
            answer = read_yes_no(words).answer
            return "" if answer is None else ("no", "yes")[answer]
        return _day(words)

    return read


def _day(words: Sequence[str]) -> str:
    day = read_date(normalise(words), TODAY)
    return "" if day is None else day.isoformat()


def truth_of(trial: Trial) -> str:
    """What should come of it: of a day the day itself, and nothing where what was said holds none."""
    return _day(trial.said.split()) if trial.expect.kind is ExpectKind.DATE else trial.truth


def judge(engine: Engine, trials: Sequence[Trial], read: Reader, tell: bool) -> tuple[list[Judged], float]:
    """What came of each trial, and CPU seconds for each second of audio."""
    judged: list[Judged] = []
    spent = heard = 0.0
    for trial in trials:
        began = time.process_time()
        stream = engine.open(trial.expect, trial.mode)
        if stream is None:
            raise RuntimeError("no stream")
        for at in range(0, trial.pcm.size, PIECE):
            stream.feed(trial.pcm[at : at + PIECE])
        guess = stream.finish()
        spent += time.process_time() - began
        heard += trial.pcm.size / 8000
        judged.append(Judged(trial.group, truth_of(trial), *read(trial, guess)))
        if tell and not judged[-1].is_right:
            sys.stdout.write(f"{trial.group}: {trial.said!r} -> {' '.join(guess.words)!r} {guess.confidence}\n")
    return judged, spent / heard


def some(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most ``most`` of each group, spread over it; 0: all."""
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.group].append(trial)
    return [one for found in groups.values() for one in found[:: -(-len(found) // most) if most else 1]]


def _engine(asked: argparse.Namespace) -> Engine:
    if asked.engine == "pocketsphinx":
        return open_engine("pocketsphinx", "")
    from agent.model.parts.words_engine import WordsEngine
    from agent.model.small.words_runtime import WEIGHTS

    net = WordsEngine(asked.weights or WEIGHTS)
    return net if asked.engine == "words" else BothEngine(net, open_engine("pocketsphinx", ""))


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.words_evaluate", description="Judge a recogniser.")
    parser.add_argument("trials", type=Path)
    parser.add_argument("--engine", choices=("words", "pocketsphinx", "both"), default="words")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--dialogue", type=Path, required=True)
    parser.add_argument("--only", default="", help="groups that begin so")
    parser.add_argument("--most", type=count, default=0, metavar="N", help="of each group; 0: all")
    parser.add_argument(
        "--condition", action="append", default=[], choices=[str(name) for name in Condition],
        help="judge the clean trials again under it, beside clean; may be repeated",
    )  # fmt: skip
    parser.add_argument("--tell", action="store_true", help="print every trial that goes wrong")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--piper", default="")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args(argv)
    if asked.make:
        made = list(synthetic(asked.dialogue, asked.seed, asked.count, asked.piper)) if asked.count else []
        save(asked.trials, [*(human(asked.speech, asked.dialogue, asked.seed) if asked.speech else ()), *made])
        return 0
    trials = some([trial for trial in load(asked.trials) if trial.group.startswith(asked.only)], asked.most)
    if asked.condition:
        wanted = [Condition(name) for name in dict.fromkeys((Condition.CLEAN, *asked.condition))]
        trials = list(under(trials, wanted, asked.dialogue, seed=asked.seed))
    if not trials:
        raise TrainingError(f"{asked.trials}: there are no such trials")
    judged, cost = judge(_engine(asked), trials, reader(asked.dialogue), asked.tell)
    scores, conditions = scores_of(judged), compared(judged)
    sys.stdout.write(report(scores) + comparison(conditions))
    sys.stdout.write(f"CPU {100 * cost:.1f} % of a core per talking caller\n")
    if asked.json:
        table = {group: score.to_json() for group, score in scores.items()}
        asked.json.write_text(json.dumps({"cpu": cost, "groups": table, "conditions": conditions}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
