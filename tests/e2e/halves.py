"""A model whose loss is what two smaller batches would give together."""

from models.poseidon import OperatorLearning


class HalvedLosses(OperatorLearning):
    """The loss of a batch is the mean of the losses of its halves, each relative to its own targets.

    Args:
        interleaved: Whether every other sample makes a half, as two processes share a batch; otherwise the first and
            the second half, as two batches one after the other.
    """

    def __init__(self, *arguments, interleaved=True, **settings):
        super().__init__(*arguments, **settings)
        self.interleaved = interleaved

    def _loss(self, net, batch):
        middle = len(batch["fields"]) // 2
        halves = (slice(0, None, 2), slice(1, None, 2)) if self.interleaved else (slice(middle), slice(middle, None))
        losses = [super(HalvedLosses, self)._loss(net, {k: v[half] for k, v in batch.items()}) for half in halves]
        return (losses[0] + losses[1]) / 2
