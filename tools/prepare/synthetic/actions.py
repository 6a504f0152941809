"""The actions of the default data set: movements under NTU's own action numbers.

Axes: T frames. `progress` (T,) runs from 0 to 1 while the action lasts and stays put before and
after. Several actions share a posture on purpose and differ in what moves, how often or in which
direction, so that a single frame does not give the class away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tools.prepare.synthetic.movement import Movement, hold, pulses, smooth


@dataclass(frozen=True)
class Style:
    """How one performance differs from the next.

    Attributes:
        amplitude: factor on every angle.
        seconds: duration of the action.
        rate: factor on the frequency of every repetition.
        phase: where repetitions start, radians.
    """

    amplitude: float = 1.0
    seconds: float = 3.0
    rate: float = 1.0
    phase: float = 0.0

    def beat(self, progress: np.ndarray, hertz: float) -> np.ndarray:
        """Return (T,) a sine of the given frequency."""
        return np.sin(2 * np.pi * hertz * self.rate * self.seconds * progress + self.phase)

    def count(self, hertz: float) -> int:
        """Return how many whole repetitions fit into the action; at least one."""
        return max(1, round(hertz * self.rate * self.seconds))


Play = Callable[[Movement, np.ndarray, Style], None]


def drink(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Lead hand to the mouth, head back, and down again."""
    up = hold(progress) * style.amplitude
    body.arm("lead", forwards=45 * up, inwards_twist=35 * up, elbow=125 * up)
    body.neck(forwards=-20 * hold(progress, 0.4, 0.65))


def _sit(body: Movement, seated: np.ndarray, bend: np.ndarray) -> None:
    body.leg("both", forwards=82 * seated, knee=85 * seated, ankle=3 * seated)
    body.arm("both", forwards=25 * seated, elbow=35 * seated)
    body.trunk(forwards=32 * bend)
    body.travel[:, 2] += 0.38 * seated


def sit_down(body: Movement, progress: np.ndarray, style: Style) -> None:
    """From standing to sitting."""
    _sit(body, smooth(progress, 0.1, 0.9), style.amplitude * pulses(progress, 1))


def stand_up(body: Movement, progress: np.ndarray, style: Style) -> None:
    """From sitting to standing: the same postures in reverse."""
    _sit(body, 1 - smooth(progress, 0.1, 0.9), style.amplitude * pulses(progress, 1))


def pick_up(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Bend down, lead hand to the floor."""
    down = hold(progress, 0.4, 0.6) * style.amplitude
    body.trunk(forwards=70 * down)
    body.leg("both", forwards=35 * down, knee=50 * down, ankle=15 * down)
    body.arm("lead", forwards=60 * down)


def clap(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Both hands in front of the chest, meeting and parting."""
    up = hold(progress, 0.15, 0.85)
    apart = up * (0.5 + 0.5 * style.beat(progress, 1.4)) * style.amplitude
    twist = 42 * up - 50 * apart
    body.arm("both", forwards=48 * up, outwards=24 * apart, inwards_twist=twist, elbow=55 * up)


def cheer(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Both arms up, bouncing."""
    up = hold(progress, 0.2, 0.8) * style.amplitude
    bounce = up * style.beat(progress, 1.4)
    body.arm("both", outwards=140 * up + 12 * bounce, elbow=15 * up)


def point(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Lead arm straight forwards, held still."""
    out = hold(progress) * style.amplitude
    body.arm("lead", forwards=85 * out, inwards_twist=8 * out)


def cross_hands(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Both hands in front of the chest, forearms crossed and still."""
    up = hold(progress, 0.2, 0.8) * style.amplitude
    body.arm("both", forwards=45 * up, elbow=68 * up, inwards_twist=50 * up)


def wave(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Lead hand beside the head, swinging from side to side."""
    up = hold(progress, 0.2, 0.8)
    swing = up * style.beat(progress, 1.5) * style.amplitude
    body.arm("lead", outwards=75 * up, inwards_twist=-80 * up, elbow=110 * up + 24 * swing)


def kick(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Lead leg back, then forwards with the knee straightening."""
    count = style.count(0.35)
    forth = pulses(progress, count, 1.5) * style.amplitude
    back = pulses(progress + 0.16 / count, count, 2.0) * style.amplitude
    body.leg("lead", forwards=62 * forth - 22 * back, knee=55 * back)
    body.arm("other", forwards=25 * forth)
    body.trunk(forwards=-12 * forth)


def jump(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Crouch and jump with both legs."""
    count = style.count(0.4)
    crouch = pulses(progress + 0.22 / count, count, 2.0) * hold(progress, 0.1, 0.9)
    air = pulses(progress - 0.1 / count, count, 3.0)
    body.leg("both", forwards=42 * crouch, knee=80 * crouch, ankle=30 * crouch)
    body.arm("both", forwards=45 * air - 25 * crouch, elbow=20 * crouch)
    body.trunk(forwards=28 * crouch * style.amplitude)
    body.lift += 0.28 * air * style.amplitude


def punch(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Fists up, lead arm shoots out."""
    guard = hold(progress, 0.2, 0.8)
    out = pulses(progress, style.count(0.5), 2.0) * guard * style.amplitude
    body.arm("both", forwards=28 * guard, elbow=105 * guard, inwards_twist=18 * guard)
    body.arm("lead", forwards=50 * out, elbow=-88 * out)
    body.trunk(twist=22 * out)


def recoil(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Head and trunk go back when hit."""
    hit = pulses(progress - 0.05, style.count(0.5), 2.0) * hold(progress, 0.2, 0.8)
    body.trunk(forwards=-22 * hit * style.amplitude)
    body.neck(forwards=-15 * hit)
    body.travel[:, 2] += 0.12 * smooth(progress, 0.4, 0.8)


def hug(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Both arms open, forwards and around the partner, a step closer."""
    out = hold(progress) * style.amplitude
    body.arm("both", forwards=62 * out, outwards=22 * out, inwards_twist=30 * out, elbow=30 * out)
    body.trunk(forwards=12 * out)
    body.travel[:, 2] -= 0.15 * out


def shake_hands(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Lead arm forwards, going up and down."""
    out = hold(progress, 0.25, 0.75)
    beat = out * style.beat(progress, 1.6) * style.amplitude
    elbow = 35 * out + 9 * beat
    body.arm("lead", forwards=45 * out + 7 * beat, inwards_twist=12 * out, elbow=elbow)


def _walk(body: Movement, metres: np.ndarray, style: Style) -> None:
    """Move legs and arms for a way (T,) over the ground, in metres."""
    swing = np.sin(np.pi * metres / 0.65 + style.phase)
    moving = np.clip(np.abs(np.gradient(metres)) / 0.012, 0, 1) * style.amplitude
    for side, sign in (("lead", 1.0), ("other", -1.0)):
        body.leg(side, forwards=24 * sign * swing * moving, knee=(22 - 18 * sign * swing) * moving)
        body.arm(side, forwards=-20 * sign * swing * moving, elbow=15 * moving)


def walk_towards(body: Movement, progress: np.ndarray, style: Style) -> None:
    """Walk forwards to the partner."""
    way = 0.85 * smooth(progress, 0.0, 1.0)
    body.travel[:, 2] -= way
    _walk(body, way, style)


@dataclass(frozen=True)
class Action:
    """One class: what its performer does, and the partner, if there is one.

    Attributes:
        play: the movement of the performer.
        partner: the movement of the second body; None for an action of one body.
        distance: metres between the two at the start.
        cyclic: whether a recording shows it several times.
    """

    play: Play
    partner: Play | None = None
    distance: float = 0.0
    cyclic: bool = True


# Under the action numbers of NTU RGB+D (Shahroudy et al. 2016); 50 to 60 take two bodies.
ACTIONS: dict[int, Action] = {
    1: Action(drink),
    6: Action(pick_up),
    8: Action(sit_down, cyclic=False),
    9: Action(stand_up, cyclic=False),
    10: Action(clap),
    22: Action(cheer),
    23: Action(wave),
    24: Action(kick),
    27: Action(jump),
    31: Action(point),
    40: Action(cross_hands),
    50: Action(punch, recoil, 0.9),
    51: Action(kick, recoil, 1.0),
    55: Action(hug, hug, 0.9),
    58: Action(shake_hands, shake_hands, 0.9),
    59: Action(walk_towards, walk_towards, 2.5, cyclic=False),
}
