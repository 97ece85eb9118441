"""`python -m qwen2vl.nano`: draw the stored exam again. Needs the fonts (scripts/install-fonts.sh)."""

from qwen2vl.nano.exam import PACKAGED_EXAM, write_exam

if __name__ == "__main__":
    print(f"{write_exam(PACKAGED_EXAM)} items in {PACKAGED_EXAM}")
