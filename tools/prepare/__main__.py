"""`python -m tools.prepare FORMAT ...`: raw data to arrays, one module for each format."""

import importlib
import sys

FORMATS = {
    "ntu": ("formats.ntu", "raw NTU RGB+D 60 or 120 skeletons"),
    "utd-mhad": ("formats.utd_mhad", "UTD-MHAD skeletons (.mat)"),
    "pyskl": ("formats.pyskl", "PYSKL or MMAction2 pickles of NTU RGB+D"),
    "npz": ("formats.npz", "CTR-GCN, MAMP or STARS files of NTU RGB+D or PKU-MMD"),
    "pku-mmd": ("formats.pku_mmd", "PKU-MMD I or II, raw videos and labels"),
    "frame50": (
        "formats.frame50",
        "clips resized to 50 frames, as AimCLR and its kin do",
    ),
    "custom": (
        "formats.custom",
        "your own .npy or .skeleton files, described by a JSON",
    ),
    "synthetic": (
        "synthetic.command",
        "invent recordings and write them as raw NTU files",
    ),
}
"""The module whose main() takes a format's options, and what the format is."""


def main(argv: list[str] | None = None) -> None:
    """Hand the command line to the format it names."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m tools.prepare FORMAT [options]; a format's own --help has more\n")
        print("\n".join(f"  {name:10}  {what}" for name, (_, what) in FORMATS.items()))
        return
    if arguments[0] not in FORMATS:
        print(f"error: format {arguments[0]}: choose from {', '.join(FORMATS)}", file=sys.stderr)
        raise SystemExit(2)
    module = importlib.import_module(f"tools.prepare.{FORMATS[arguments[0]][0]}")
    module.main(arguments[1:])


if __name__ == "__main__":
    main()
