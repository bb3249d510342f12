"""One step of training and of validation, for Lightning."""

import copy

import lightning.pytorch as pl
import torch

from ..exceptions import TrainingError
from ..inference.likelihood import decode
from ..nn.layers import Conv
from ..nn.parallel import total as total_of
from .balance import FixedBalance, make_balance
from .losses import task_losses
from .metrics import Results, summary
from .schedule import average_decay, learning_rate_factor

__all__ = ["TrainingModule"]


class TrainingModule(pl.LightningModule):
    """A network, the running average of its weights, and how both are trained.

    Parameters
    ----------
    network : GammaPhysNet
    recipe : Recipe
    total_steps : int
        Steps of the whole training: the learning rate ends there.

    Attributes
    ----------
    average : GammaPhysNet
        What is validated and written: the running average, batch statistics included.
    last_losses : dict of str to float
        Loss of each task in the last batch.
    validation : dict of str to float
        Result of the last validation.
    results : Results
        Of each image in it.
    """

    def __init__(self, network, recipe, total_steps):
        super().__init__()
        self.recipe, self.total_steps = recipe, total_steps
        self.network = network.requires_grad_(True)
        self.average = copy.deepcopy(network).requires_grad_(False)
        weights = {task: recipe.loss.weights[task] for task in network.architecture.outputs}
        self.balance = make_balance(recipe.balance, weights)
        self.plain_sum = FixedBalance(weights)
        self.last_losses, self.validation, self._gathered = {}, {}, []
        self.results = None
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.int64))

    def train(self, mode=True):
        """Training mode of everything but the average."""
        super().train(mode)
        self.average.eval()
        return self

    @property
    def shared(self):
        """Weights of the last layer that all tasks share."""
        if self.network.architecture.trunk:
            return self.network.trunk[-1].weight
        return [m for m in self.network.backbone.modules() if isinstance(m, Conv)][-1].weight

    def training_step(self, batch, batch_idx):
        """Balanced loss of a batch.

        Raises
        ------
        TrainingError
            If a loss is not finite; names the step and the task.
        """
        # dropout depends on step and process alone, so that a resumed run draws the same
        seed = self.recipe.run.seed * 1_000_003 + self.global_step + (self.global_rank << 40)
        torch.manual_seed(seed % 2**63)
        x, gamma = batch["x"], self.recipe.loss.gradient_penalty
        if gamma:
            x = x.requires_grad_()
        outputs = {task: out.float() for task, out in self.network(x).items()}
        losses = task_losses(outputs, batch, self.recipe.loss, total_of)
        shared = self.shared if self.recipe.balance.method == "gradnorm" else None
        total = self.balance(losses, shared)
        values = torch.stack([total, *losses.values()]).tolist()
        self.last_losses = dict(zip(["sum", *losses], values, strict=True))
        self._check_finite(self.last_losses)
        return total + gamma * smoothness(total, x) if gamma else total

    def _check_finite(self, losses):
        """Stop before a NaN gets into the weights."""
        bad = [task for task, value in losses.items() if not abs(value) < float("inf")]
        if bad:
            raise TrainingError(
                f"step {self.global_step}: the loss ({bad[-1]}) is not finite; lower"
                " optimiser.learning_rate, or look for odd values in the images"
            )

    def optimizer_step(self, *args, **kwargs):
        """Change the weights, then their average."""
        super().optimizer_step(*args, **kwargs)
        self.update_average()

    @torch.no_grad()
    def update_average(self):
        """Move the average towards the weights."""
        share = 1 - average_decay(int(self.n_averaged), self.recipe.optimiser.average)
        new = self.network.state_dict()
        for name, old in self.average.state_dict().items():
            if old.is_floating_point():
                old.lerp_(new[name], share)
            else:
                old.copy_(new[name])
        self.n_averaged += 1

    def configure_gradient_clipping(self, optimizer, *args, **kwargs):
        """Clip the network's gradient; the balance has its own scale."""
        if clip := self.recipe.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)

    def configure_optimizers(self):
        """AdamW over groups: kernels and matrices, other weights, the balance."""
        settings, rate = self.recipe.optimiser, self._rate
        kernels = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": kernels, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        factors = [rate, rate]
        if own := list(self.balance.parameters()):
            groups.append(
                {"params": own, "weight_decay": 0.0, "lr": self.recipe.balance.learning_rate}
            )
            factors.append(_constant)
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step):
        """Factor on the learning rate."""
        settings = self.recipe.optimiser
        return learning_rate_factor(
            step, self.total_steps, settings.warmup_steps, settings.final_fraction
        )

    def on_validation_epoch_start(self):
        """Forget the last validation."""
        self._gathered = []

    def validation_step(self, batch, batch_idx):
        """Predictions of the averaged network: quantiles need all images together."""
        with torch.autocast(batch["x"].device.type, enabled=False):  # as predictions will be
            outputs = self.average(batch["x"])
        row = {f"out_{task}": out.float() for task, out in outputs.items()}
        row |= {name: value for name, value in batch.items() if name != "x"}
        self._gathered.append({name: value.cpu() for name, value in row.items()})

    def on_validation_epoch_end(self):
        """Loss without any balance, and figures of merit."""
        names = self._gathered[0]
        batch = {name: torch.cat([row[name] for row in self._gathered]) for name in names}
        self._gathered = []
        outputs = {n.removeprefix("out_"): batch.pop(n) for n in list(batch) if n[:4] == "out_"}
        losses = task_losses(outputs, batch, self.recipe.loss)
        result = {"loss": float(self.plain_sum(losses))}
        result |= {f"loss_{task}": float(loss) for task, loss in losses.items()}
        self.results = results_of(outputs, batch)
        result |= {name: float(value) for name, value in summary(self.results).items()}
        self.validation = result
        self.log("val_loss", result["loss"], sync_dist=True)


def _constant(step):
    """Factor of the balance's learning rate."""
    return 1.0


def smoothness(loss, x):
    """Mean squared gradient of the images' losses with respect to their charges.

    Parameters
    ----------
    loss : Tensor, scalar
        Mean over the images.
    x : Tensor, shape (N, 2, n_pixels)
        Charges and times, requiring gradients.

    References
    ----------
    H. Drucker, Y. Le Cun (1992), IEEE Trans. Neural Netw. 3, 991, doi:10.1109/72.165600.
    """
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return (len(x) * gradient[:, 0]).square().sum(1).mean()


def results_of(outputs, batch):
    """True and reconstructed values of raw outputs.

    Parameters
    ----------
    outputs : dict of str to Tensor
    batch : dict of str to Tensor
        Targets, as for `task_losses`.

    Returns
    -------
    Results
    """
    decoded = decode(outputs)
    gammaness = None
    if "class" in outputs:
        gammaness = torch.softmax(outputs["class"].double(), 1)[:, 0].numpy()
    return Results(
        is_gamma=(batch["label"] == 0).numpy(),
        gammaness=gammaness,
        true_log10_energy=batch["log10_energy"].numpy(),
        log10_energy=decoded.log10_energy,
        true_direction=batch["direction"].numpy(),
        direction=decoded.direction,
    )
