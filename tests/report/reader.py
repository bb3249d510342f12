"""The report as a browser's parser sees it, without a browser."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Report(HTMLParser):
    """Elements, numbers with their places in the summary, and text outside of them.

    Attributes
    ----------
    keys : list of (str, str)
        ``data-key`` and text of each number.
    tags : list of (str, dict)
    ids : list of str
    loose : list of str
        Text in cells of tables that is in no number.
    """

    def __init__(self, text):
        super().__init__()
        self.keys, self.tags, self.ids, self.loose, self.open = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag not in VOID:
            self.open.append((tag, attrs))
        if "data-key" in attrs:
            self.keys.append((attrs["data-key"], ""))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> of nothing"
        last, _ = self.open.pop()
        assert last == tag, f"</{tag}> closes <{last}>"

    def handle_data(self, data):
        if self.open and "data-key" in self.open[-1][1]:
            key, text = self.keys[-1]
            self.keys[-1] = key, text + data
        elif any(tag == "td" for tag, _ in self.open):
            self.loose.append(data)

    def all(self, tag):
        """Attributes of all elements of a kind."""
        return [attrs for name, attrs in self.tags if name == tag]


def found(summary, key):
    """Value of a summary at a place; names may have dots themselves."""
    if not key:
        return summary
    if isinstance(summary, list):
        first, _, rest = key.partition(".")
        return found(summary[int(first)], rest)
    names = [n for n in summary if key == n or key.startswith(f"{n}.")]
    name = max(names, key=len)
    return found(summary[name], key[len(name) + 1 :])


def same(text, value):
    """Whether a printed number or text is a value, to the digits printed."""
    if value is None or value == "":
        return text == "–"
    if isinstance(value, bool | str):
        return text == str(value)
    plain = text.replace("−", "-").replace(",", "")
    if plain.startswith("<"):
        return value <= float(plain[1:])
    digits = re.match(r"[+-]?(\d*)\.?(\d*)(?:e([+-]?\d+))?$", plain)
    assert digits, text
    step = 10.0 ** (int(digits[3] or 0) - len(digits[2]))
    # a whole number of four digits may be a rounded larger one only if it says so
    return abs(float(plain) - value) <= 0.5 * step * (1 + 1e-9)
