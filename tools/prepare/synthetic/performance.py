"""Performances: who moves, how they start, hurry, fidget, and where they stand.

Axes: T frames, V=25 joints, 3 coordinates in metres (x right, y up, z towards the back of a body
that faces -z). Randomness comes from the numpy Generator of the performer or the performance.
"""

from dataclasses import dataclass

import numpy as np

from dataset.skeleton import NUM_JOINTS
from tools.prepare.synthetic.actions import ACTIONS, Play, Style
from tools.prepare.synthetic.body import Build, pose, stand
from tools.prepare.synthetic.movement import Movement

FRAMES_PER_SECOND = 30  # of the Kinect v2
SHORTEST, LONGEST = 60, 160  # frames of a recording

START_DEGREES = (20.0, 8.0, 8.0)  # yaw, pitch and roll at the start, standard deviations
HABIT_DEGREES = 3.0
DISTRACTIONS = 4.0  # a recording, on average
DISTRACTION_DEGREES = 60.0
_DISTRACTED = ((4, 5), (8, 9), (1, 20), (2,))
# Joints that fidget and carry habits: spine, neck, shoulders, elbows, hips, knees.
_LOOSE = [1, 20, 2, 4, 5, 8, 9, 12, 13, 16, 17]


@dataclass(frozen=True)
class Performer:
    """A person: a build, and habits that colour every performance."""

    build: Build
    tempo: float  # factor on the duration of actions
    amplitude: float  # factor on the size of movements
    right_handed: float  # probability of leading with the right side
    habit: np.ndarray  # (V, 3) angles by which this person's posture differs, radians


def draw_performer(generator: np.random.Generator) -> Performer:
    """Draw a person."""
    height = float(np.clip(generator.normal(1.0, 0.09), 0.75, 1.2))
    arms, legs, trunk, width = np.exp(generator.normal(0.0, 0.08, 4)).tolist()
    habit = np.zeros((NUM_JOINTS, 3))
    habit[_LOOSE] = np.radians(generator.normal(0.0, HABIT_DEGREES, (len(_LOOSE), 3)))
    return Performer(
        build=Build(height, arms=arms, legs=legs, trunk=trunk, width=width),
        tempo=float(np.exp(generator.normal(0.0, 0.15))),
        amplitude=float(np.clip(generator.normal(1.0, 0.12), 0.7, 1.3)),
        right_handed=float(generator.choice([0.85, 0.15], p=[0.8, 0.2])),
        habit=habit,
    )


def _fidget(frames: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (T, V, 3) slow small movements that mean nothing, radians."""
    hertz = generator.uniform(0.1, 0.9, (3, 1, len(_LOOSE), 3))
    phase = generator.uniform(0.0, 2 * np.pi, hertz.shape)
    size = np.radians(generator.normal(0.0, 1.6, hertz.shape))
    time = (np.arange(frames) / FRAMES_PER_SECOND)[None, :, None, None]
    angles = np.zeros((frames, NUM_JOINTS, 3))
    angles[:, _LOOSE] = (size * np.sin(2 * np.pi * hertz * time + phase)).sum(axis=0)
    return angles


def _distractions(frames: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (T, V, 3) brief movements of single limbs that mean nothing, radians."""
    angles = np.zeros((frames, NUM_JOINTS, 3))
    time = np.arange(frames)
    for _ in range(generator.poisson(DISTRACTIONS)):
        joints = list(_DISTRACTED[generator.integers(len(_DISTRACTED))])
        middle, width = generator.uniform(0, frames), generator.uniform(4, 9)
        rise = np.exp(-(((time - middle) / width) ** 2))
        target = generator.normal(0.0, np.radians(DISTRACTION_DEGREES), (len(joints), 3))
        angles[:, joints] += rise[:, None, None] * target
    return angles


def _step_into_place(body: Movement, generator: np.random.Generator) -> None:
    """Let the body start turned, leaning and twisted, and find its place within a few frames.

    The standard normalisation aligns a whole clip by its first frame, so this is what leaves
    clips of one action in different orientations, as raw recordings do.
    """
    settle = np.exp(-np.arange(len(body.lift)) / generator.uniform(1.5, 6.0))
    yaw, pitch, roll = generator.normal(0.0, START_DEGREES)
    body.turn(yaw=yaw * settle, pitch=pitch * settle, roll=roll * settle)


def perform(
    performer: Performer,
    play: Play,
    progress: np.ndarray,
    style: Style,
    generator: np.random.Generator,
) -> np.ndarray:
    """Let one person do one thing.

    Args:
        performer: who.
        play: what.
        progress: (T,) 0 to 1, when.
        style: how.
        generator: for side, fidgeting and start.

    Returns:
        (T, V, 3) metres, standing on y = 0 about the origin, facing -z.
    """
    frames = len(progress)
    body = Movement(frames, "right" if generator.random() < performer.right_handed else "left")
    play(body, progress, style)
    _step_into_place(body, generator)
    body.angles += performer.habit + _fidget(frames, generator) + _distractions(frames, generator)
    positions = pose(body.angles, performer.build.offsets())
    return stand(positions, body.lift) + body.travel[:, None]


def draw_progress(
    action: int, performer: Performer, generator: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draw when an action happens in a recording.

    Returns:
        (T,) progress of the action from 0 to 1, over and over if it is cyclic, with pauses before
        and after it; the seconds that one round takes.
    """
    rounds = float(generator.integers(2, 4)) if ACTIONS[action].cyclic else 1.0
    active = 100 * performer.tempo * np.exp(generator.normal(0.0, 0.2))
    before, after = generator.uniform(1, 12), generator.uniform(0, 12)
    frames = int(np.clip(round(before + active + after), SHORTEST, LONGEST))
    active = max(frames - before - after, 0.5 * frames)
    progress = np.clip((np.arange(frames) - before) / active, 0.0, 1.0) * rounds
    seconds = active / rounds / FRAMES_PER_SECOND
    return np.where(progress < rounds, progress % 1.0, 1.0), seconds


def draw_style(performer: Performer, seconds: float, generator: np.random.Generator) -> Style:
    """Draw how this performer does it this time."""
    return Style(
        amplitude=float(np.clip(performer.amplitude * generator.normal(1.0, 0.1), 0.6, 1.4)),
        seconds=seconds,
        rate=float(np.exp(generator.normal(0.0, 0.15))),
        phase=float(generator.uniform(0.0, 2 * np.pi)),
    )


def turned(positions: np.ndarray, yaw: float) -> np.ndarray:
    """Rotate (..., 3) positions about the vertical axis by `yaw` radians."""
    sine, cosine = np.sin(yaw), np.cos(yaw)
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], axis=-1)


def draw_performance(
    action: int, people: tuple[Performer, Performer], generator: np.random.Generator
) -> list[np.ndarray]:
    """Let a performer, and the partner where the action takes two, do an action.

    Args:
        action: NTU action number, one of ACTIONS.
        people: the performer and a possible partner.
        generator: the performance's own.

    Returns:
        One (T, V, 3) array in metres a body, about a common origin.
    """
    wanted = ACTIONS[action]
    progress, seconds = draw_progress(action, people[0], generator)
    style = draw_style(people[0], seconds, generator)
    bodies = [perform(people[0], wanted.play, progress, style, generator)]
    if wanted.partner is not None:
        partner = perform(people[1], wanted.partner, progress, style, generator)
        apart = wanted.distance + generator.normal(0.0, 0.06)
        half = np.array([0.0, 0.0, apart / 2])
        bodies = [bodies[0] + half, turned(partner + half, np.pi)]
    return bodies
