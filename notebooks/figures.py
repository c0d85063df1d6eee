"""What a plot of matplotlib says in words: kept beside its picture, and compared exactly, whatever version drew it."""

from __future__ import annotations

from typing import Final

from matplotlib.figure import Figure

__all__ = ["STARTUP", "describe", "described"]

STARTUP: Final = "import notebooks.figures as figures; figures.describe(); del figures\n"
"""What a kernel has to run first."""


def describe() -> None:
    """Has each figure described where a notebook has a text for it."""
    # Printers that are registered by type do not last: matplotlib's own part for notebooks takes those of figures away.
    Figure._repr_pretty_ = lambda figure, printer, cycle: printer.text(described(figure))


def described(figure: Figure) -> str:
    """The axes of a figure, and of each line how many points it has and where they are."""
    width, height = figure.get_size_inches() * figure.dpi
    words = [f"<Figure of {width:.0f} by {height:.0f}"]
    for ax in figure.axes:
        title = f"{ax.get_title()}: " if ax.get_title() else ""
        words.append(f"{title}{ax.get_ylabel()} over {ax.get_xlabel()}")
        for line in ax.lines:
            label = str(line.get_label())
            x, y = line.get_xdata(), line.get_ydata()
            mean = sum(map(float, y)) / max(1, len(y))
            words.append(
                f"  {'line' if label.startswith('_') else label}: {len(x)} points, {min(x):.4g} to {max(x):.4g}, "
                f"at {min(y):.4g} to {max(y):.4g}, {mean:.4g} on average"
            )
    return "\n".join(words) + ">"
