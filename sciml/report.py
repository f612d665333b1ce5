"""One self-contained HTML page about a run: what came out, pictures, tables, and how to make it again."""

from __future__ import annotations

import base64
import html
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; --ink: #1a202c; --soft: #5a6577; --line: #e2e8f0; --paper: #fff; --tint: #f7fafc; }
body { margin: 0; background: var(--tint); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 2rem auto; padding: 2rem 2.5rem; background: var(--paper);
       border: 1px solid var(--line); border-radius: .5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.lead { font-size: 1.1rem; margin: .5rem 0 1rem; } p, figcaption { color: var(--soft); } p.lead { color: var(--ink); }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { font-size: .9rem; text-align: center; margin-top: .3rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: .35rem; padding: .8rem 1rem;
      overflow-x: auto; }
"""


@dataclass
class Report:
    """A page that is built from top to bottom and then written.

    Args:
        title: Heading of the page.
        lead: The result in one sentence.
        folder: Figures are also saved here, one file each.
    """

    title: str
    lead: str
    folder: Path
    _parts: list[str] = field(default_factory=list)

    def section(self, heading: str, text: str = "") -> None:
        """Start a section."""
        self._parts.append(f"<h2>{html.escape(heading)}</h2>" + (f"<p>{html.escape(text)}</p>" if text else ""))

    def figure(self, name: str, figure: Figure | Path, caption: str) -> Path:
        """Show a figure, or a picture file, and keep it as a file of its own.

        Args:
            name: File name without suffix.
            figure: A matplotlib figure, or the path of a png or gif.
            caption: What there is to see.

        Returns:
            Where the picture lies.
        """
        if isinstance(figure, Path):
            path, content = figure, figure.read_bytes()
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=130)
            path, content = self.folder / f"{name}.png", buffer.getvalue()
            path.write_bytes(content)
        data = base64.b64encode(content).decode()
        kind = path.suffix.removeprefix(".")
        self._parts.append(
            f'<figure><img alt="{html.escape(caption)}" src="data:image/{kind};base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
        return path

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show a table; the first column is the name of the row."""

        def line(cells: Sequence[object], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(_format(c))}</{tag}>" for c in cells) + "</tr>"

        body = "".join(line(row, "td") for row in rows)
        self._parts.append(f'<div class="scroll"><table>{line(columns, "th")}{body}</table></div>')

    def code(self, text: str) -> None:
        """Show text that can be copied: commands, a config."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def write(self, path: Path) -> Path:
        """Write the page."""
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(self.title)}</title>"
        view = '<meta name=viewport content="width=device-width, initial-scale=1">'
        top = f'<h1>{html.escape(self.title)}</h1><p class="lead">{html.escape(self.lead)}</p>'
        path.write_text(f"{head}{view}<style>{_STYLE}</style><main>{top}{''.join(self._parts)}</main></html>\n")
        return path


def versions(packages: Sequence[str] = ("torch", "lightning", "numpy", "h5py")) -> Mapping[str, str]:
    """Versions of Python, of sciml and of the packages that decide on the numbers of a run."""
    found = {"python": platform.python_version(), "sciml": __version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _format(value: object) -> str:
    return f"{value:#.4g}" if isinstance(value, float) else str(value)
