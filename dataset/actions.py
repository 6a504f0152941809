"""What the classes of data sets are called.

Source: the lists that the data sets' authors publish: Liu et al. 2019 (arXiv:1905.04757) for
NTU RGB+D 120, whose first 60 are NTU RGB+D's; Liu et al. 2017 (arXiv:1703.07475) for PKU-MMD; Chen,
Jafari and Kehtarnavaz, ICIP 2015, for UTD-MHAD.
"""

from pathlib import Path

from dataset.custom import DESCRIPTION, read_description
from dataset.protocols import DataSet

_NTU = """
drink water; eat meal or snack; brush teeth; brush hair; drop; pick up; throw; sit down; stand up;
clap; read; write; tear up paper; put on jacket; take off jacket; put on a shoe; take off a shoe;
put on glasses; take off glasses; put on a hat or cap; take off a hat or cap; cheer up; wave hand;
kick something; reach into pocket; hop on one foot; jump up; make or answer a phone call; play with
phone or tablet; type on a keyboard; point to something; take a selfie; check time on watch; rub
two hands; nod head or bow; shake head; wipe face; salute; put palms together; cross hands in front;
sneeze or cough; stagger; fall; touch head; touch chest; touch back; touch neck; vomit; use a fan;
punch or slap other person; kick other person; push other person; pat other person's back; point
finger at other person; hug other person; give something to other person; touch other person's
pocket; shake hands; walk towards each other; walk apart; put on headphone; take off headphone;
shoot at the basket; bounce ball; tennis bat swing; juggle table tennis balls; hush; flick hair;
thumb up; thumb down; make ok sign; make victory sign; staple book; count money; cut nails; cut
paper; snap fingers; open bottle; sniff; squat down; toss a coin; fold paper; ball up paper; play
magic cube; apply cream on face; apply cream on hand; put on bag; take off bag; put something into a
bag; take something out of a bag; open a box; move heavy objects; shake fist; throw up cap or hat;
hands up; cross arms; arm circles; arm swings; run on the spot; butt kicks; cross toe touch; side
kick; yawn; stretch oneself; blow nose; hit other person with something; wield knife towards other
person; knock over other person; grab other person's stuff; shoot at other person with a gun; step
on foot; high-five; cheers and drink; carry something with other person; take a photo of other
person; follow other person; whisper in other person's ear; exchange things with other person;
support somebody with hand; rock-paper-scissors
"""

_PKU = """
bow; brush hair; brush teeth; check time on watch; cheer up; clap; cross hands in front; drink;
drop; eat meal or snack; fall; give something to other person; wave hand; shake hands; hop on one
foot; hug other person; jump up; kick other person; kick something; make or answer a phone call;
pat other person's back; pick up; play with phone or tablet; point finger at other person; point
to something; punch or slap other person; push other person; put on a hat or cap; put something
inside pocket; read; rub two hands; salute; sit down; stand up; take off a hat or cap; take off
glasses; take off jacket; take something out of pocket; take a selfie; tear up paper; throw; touch
back; touch chest; touch head; touch neck; type on a keyboard; use a fan; put on jacket; put on
glasses; wipe face; write
"""

_UTD = """
swipe left; swipe right; wave; clap; throw; arm cross; basketball shoot; draw x; draw circle
clockwise; draw circle counter-clockwise; draw triangle; bowling; boxing; baseball swing; tennis
swing; arm curl; tennis serve; push; knock; catch; pick up and throw; jog; walk; sit to stand; stand
to sit; lunge; squat
"""


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


ACTIONS = {
    **dict.fromkeys(("ntu60", "ntu60_frame50"), _names(_NTU)[:60]),
    **dict.fromkeys(("ntu120", "ntu120_frame50"), _names(_NTU)),
    **dict.fromkeys(("pku_part1", "pku_part2", "pku_mmd_part1", "pku_mmd_part2"), _names(_PKU)),
    "utd_mhad": _names(_UTD),
}
"""Names of the classes from 0 on, by the name of the data set."""


def class_names(known: DataSet, data_path: Path) -> tuple[str, ...]:
    """Names of the classes of a data set from 0 on; of one's own as its description says.

    Args:
        known: the data set.
        data_path: the folder that holds all prepared data sets.
    """
    described = data_path / known.name / DESCRIPTION
    if known.name in ACTIONS:
        return ACTIONS[known.name]
    if described.is_file():
        return tuple(read_description(described)["classes"])
    return tuple(f"class {number}" for number in range(1, known.classes + 1))
