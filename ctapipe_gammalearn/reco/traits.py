"""Two kinds of options that ctapipe does not have."""

import os
import re

from ctapipe.core.traits import TraitError, Unicode

__all__ = ["ModelPath", "Pattern"]


class ModelPath(Unicode):
    """Path of a model file, kept as the user gave it; never downloaded."""

    info_text = "the path of a model file"

    def validate(self, obj, value):
        """Accept strings and path objects."""
        return super().validate(obj, os.fspath(value) if isinstance(value, os.PathLike) else value)


class Pattern(Unicode):
    """A string of a given form.

    Parameters
    ----------
    default_value : str
    pattern : str
        Regular expression for the whole string.
    form : str
        The same in words, for error messages.
    """

    def __init__(self, default_value, pattern, form, **kwargs):
        self.pattern, self.form = pattern, form
        super().__init__(default_value, **kwargs)

    def validate(self, obj, value):
        """Refuse strings of another form."""
        value = super().validate(obj, value)
        if not re.fullmatch(self.pattern, value):
            raise TraitError(f"{type(obj).__name__}.{self.name} must be {self.form}, not {value!r}")
        return value
