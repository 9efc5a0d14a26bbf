"""Everything in the docs that is made from something else: pages, the tree, what is included from other files.

`make.py` writes it; `make.py --check` compares, and names what is no longer current.
"""

import sys
from pathlib import Path

import errors
import marks
import parity
import providers
import reference
import tree

ROOT = Path(__file__).parents[2]
PAGES = {"docs/errors.md": errors.page, "docs/parity.md": parity.page, "docs/reference.md": reference.page}
MAKERS = {
    "include": marks.include,
    "options": providers.options,
    "tree": tree.listing,
    "vendors": providers.vendors,
}


def made() -> dict[Path, str]:
    """Each file that holds something made, as it should be."""
    pages = {ROOT / name: page() for name, page in PAGES.items()}
    written = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    filled = {page: marks.filled(page, MAKERS) for page in written if page not in pages}
    return pages | filled


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: make.py [--check]")
        return 2
    stale = {page: text for page, text in made().items() if not page.exists() or page.read_text() != text}
    if arguments:
        for page in stale:
            print(f"{page.relative_to(ROOT)} is not current (run: make docs)")
        return 1 if stale else 0
    for page, text in stale.items():
        page.write_text(text)
        print(f"wrote {page.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except marks.MarkError as error:
        sys.exit(str(error))
