"""``list`` and ``fetch``: models that can be downloaded."""

from pathlib import Path as FilePath

from ctapipe.core.traits import Path

from ..exceptions import GammaLearnError
from ..weights.zoo import fetch_model, is_fetched, read_registry
from .base import InputPath, ModelTool, say

__all__ = ["FetchModels", "ListModels"]


class RegistryTool(ModelTool):
    """Base: where the models are listed."""

    registry = InputPath(
        help="JSON file that lists models; default: the list of this package.",
    ).tag(config=True)


class ListModels(RegistryTool):
    """Print the models that ``fetch`` knows."""

    name = "ctapipe-gammalearn-models list"
    description = "Print the models that can be fetched."
    aliases = {"registry": "ListModels.registry"}

    def work(self):
        """Print a table."""
        models = read_registry(self.registry)
        width = max(map(len, models), default=0)
        for name, model in models.items():
            say(f"{name:{width}s}  {model.description}")


class FetchModels(RegistryTool):
    """Download models by name and check their SHA-256."""

    name = "ctapipe-gammalearn-models fetch"
    description = "Download models by name."
    examples = "ctapipe-gammalearn-models fetch NAME -o models/"
    n_arguments = (1, 10**3)
    aliases = {
        "registry": "FetchModels.registry",
        ("o", "output-dir"): "FetchModels.output_dir",
    }

    output_dir = Path(
        default_value=None,
        allow_none=True,
        file_ok=False,
        help="Existing folder to put the files in; default: the user's cache.",
    ).tag(config=True)

    def prepare(self):
        """Refuse a folder that is not there."""
        if self.output_dir is not None and not self.output_dir.is_dir():
            raise GammaLearnError(f"{self.output_dir}: no such folder; make it first")

    def work(self):
        """Look up all names, then fetch."""
        models = read_registry(self.registry)
        for name in self.extra_args:
            if name not in models:
                raise GammaLearnError(f"unknown model {name!r}; known: {', '.join(models) or '-'}")
        for name in self.extra_args:
            if self.output_dir is not None:
                self._refuse_to_replace(models[name])
            say(fetch_model(models[name], self.output_dir))

    def _refuse_to_replace(self, model):
        """Keep a file of that name but with other contents."""
        path = FilePath(self.output_dir) / f"{model.name}.safetensors"
        if path.exists() and not is_fetched(model, path) and not self.overwrite:
            raise GammaLearnError(f"{path}: exists with other contents; --overwrite replaces it")
