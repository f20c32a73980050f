"""The plot of the results: the share of the no-HTTP bound that each server reaches."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.results import TITLES, Figures
from bench.rounds import BOUND
from bench.servers import OURS

_SIZES = {"small": "320x240, 17 KB", "medium": "1280x960, 250 KB", "large": "4032x3024, 2.5 MB"}
_OURS, _PEERS = ("#0b57d0", "#4a86e8", "#a8c7fa"), ("#5f6368", "#9aa0a6", "#d0d4d9")
_BAR = 0.26


def draw(models: dict[str, dict[str, Figures]], file: Path) -> None:
    """Draw one panel per model, with three bars (image sizes) per server, the fastest server at the top."""
    height = 1.2 + 0.6 * max(map(len, models.values()))
    with plt.rc_context({"font.size": 9, "font.family": "sans-serif"}):
        chart, panels = plt.subplots(1, len(models), figsize=(5.6 * len(models), height), squeeze=False)
        for panel, (model, servers) in zip(panels[0], models.items(), strict=True):
            _panel(panel, model, servers)
        chart.suptitle("Throughput as a share of the no-HTTP bound", x=0.02, ha="left", fontsize=12, weight="bold")
        chart.tight_layout(rect=(0, 0, 1, 0.99))
        file.parent.mkdir(parents=True, exist_ok=True)
        chart.savefig(file, dpi=150, metadata={"Software": None})
        plt.close(chart)


def _panel(panel: Axes, model: str, servers: dict[str, Figures]) -> None:
    names = sorted(servers.keys() - {BOUND}, key=lambda name: servers[name].share["small"])
    for row, name in enumerate(names):
        colours = _OURS if name == OURS.name else _PEERS
        for bar, size in enumerate(_SIZES):
            share = servers[name].share[size]
            y = row + (1 - bar) * _BAR
            panel.barh(y, share, _BAR * 0.9, color=colours[bar])
            white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # covers the line of the no-HTTP bound
            panel.text(share + 0.01, y, f"{share:.2f}", va="center", fontsize=7, color="#3c4043", bbox=white)
    panel.axvline(1, color="#3c4043", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    panel.set_title(f"{model}: bound {servers[BOUND].per_second['small']:,.0f} small images/s", loc="left")
    panel.set_yticks(range(len(names)), [TITLES[name].replace(", ", "\n", 1) for name in names])
    panel.set_xlim(0, 1.12)
    panel.set_xlabel("from dark to light: " + "; ".join(_SIZES.values()), fontsize=7, color="#5f6368")
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
