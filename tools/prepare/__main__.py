"""`python -m tools.prepare FORMAT ...`: raw data to arrays, one module for each format."""

import importlib
import sys

FORMATS = {
    "ntu": ("tools.prepare.ntu", "raw NTU RGB+D 60 or 120 skeletons"),
    "utd-mhad": ("tools.prepare.utd_mhad", "UTD-MHAD skeletons (.mat)"),
    "pyskl": ("tools.prepare.pyskl", "PYSKL or MMAction2 pickles of NTU RGB+D"),
    "npz": ("tools.prepare.npz", "CTR-GCN, MAMP or STARS files of NTU RGB+D or PKU-MMD"),
    "pku-mmd": ("tools.prepare.pku_mmd", "PKU-MMD I or II, raw videos and labels"),
    "frame50": ("tools.prepare.frame50", "clips resized to 50 frames, as AimCLR and its kin do"),
    "custom": ("tools.prepare.custom", "your own .npy or .skeleton files, described by a JSON"),
    "synthetic": ("tools.prepare.synthetic", "invent recordings and write them as raw NTU files"),
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
    module = importlib.import_module(FORMATS[arguments[0]][0])
    module.main(arguments[1:])


if __name__ == "__main__":
    main()
