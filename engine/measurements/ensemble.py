"""Whether two networks are one solution: how often they answer differently, and what they gain by answering together
(Fort et al., arXiv 1912.02757, as Evci et al. use it, arXiv 2010.03533, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from engine.measurements import Measured, OnData, Parts
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Trainer


@dataclass(frozen=True)
class Ensemble(OnData):
    """Two networks on the test split. Figures, all shares of its images: "different", whose likeliest class differs;
    "first" and "second", classified correctly by each; "together", by the mean of their softmax outputs.

    Running statistics of norm layers are recomputed on training images, as on the line between the two: those of a
    network that was pruned after training are of the dense one.
    """

    method: ClassVar[str] = "ensemble"

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        data = trainer.sets[self.view.data]
        samples = data.held_out(self.view, "test")
        seen = self.statistics()
        shares = []
        with self.rig(trainer) as rig:
            for state in states:
                with rig.turn():
                    rig.begin(0, state, {}, data.targets(self.view))
                    rig.renew_statistics(seen)
                    shares.append(rig.logits(samples).softmax(1).cpu())
                yield
        wanted = data.targets(self.view)[samples]
        first, second, together = (one.argmax(1) for one in (*shares, (shares[0] + shares[1]) / 2))
        figures = {"different": float((first != second).double().mean())}
        for name, answers in (("first", first), ("second", second), ("together", together)):
            figures[name] = float((answers == wanted).double().mean())
        return Measured(figures, images_forward=2 * (len(samples) + (len(seen) if rig.normed else 0)))
