"""Reconstruct events that were read from tables, to rows of DL2 tables."""

import numpy as np
from ctapipe.containers import ArrayEventContainer, EventIndexContainer, ImageParametersContainer
from ctapipe.reco import ReconstructionProperty

from .containers import FIELD, fill_telescopes, property_prefixes, values
from .estimates import Estimates
from .gather import Dl1Row
from .stereo import combine
from .stereo_rows import can_combine, stereo_columns, telescope_weights

__all__ = ["algorithms", "dl2_rows", "example_event"]


def algorithms(network):
    """Prefixes of all results of a `GammaPhysNetReconstructor`."""
    return list(property_prefixes(network.prefix, network.tasks).values())


def dl2_rows(network, events, ends, writer, event_rows):
    """Reconstruct events.

    Parameters
    ----------
    network : GammaPhysNetReconstructor
    events : Events
    ends : list of int
        See `gather.complete_windows`.
    writer : ctapipe_gammalearn.io.dl2_writer.Dl2Writer
        Knows the columns.
    event_rows : callable
        Makes `ctapipe_gammalearn.io.dl2_writer.EventRows`, for combiners of other packages.

    Returns
    -------
    dict of str to ndarray
        Rows by path of the table.
    """
    estimates = _estimates(network, events, ends)
    rows = _telescope_rows(network, events, estimates, writer)
    if all(can_combine(combiner) for combiner in network.stereo_combiners):
        return rows | _stereo_rows(network, events, estimates, writer)
    return rows | _combined_one_by_one(network, events, estimates, event_rows())


def _estimates(network, events, ends):
    """One row per telescope with a trigger."""
    seen = [i for i, image in enumerate(events.images) if image.image is not None]
    parts, start = [Estimates.empty(0)], 0
    for end in ends:
        stop = start
        while stop < len(seen) and events.images[seen[stop]].event < end:
            stop += 1
        if stop > start:
            images = [events.images[i] for i in seen[start:stop]]
            parts.append(
                network.estimate(
                    [image.tel_id for image in images],
                    [image.image for image in images],
                    [image.peak_time for image in images],
                    np.array([image.pointing for image in images]),
                )
            )
        start = stop
    names = vars(parts[0])
    joined = Estimates(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
    return joined.spread(seen, len(events.images))


def _plain(columns):
    """Columns without units."""
    return {name: getattr(column, "value", column) for name, column in columns.items()}


def _telescope_rows(network, events, estimates, writer):
    """Rows of the telescope tables."""
    rows = {}
    with_impact = "impact" in network.tasks
    tel_ids = np.array([image.tel_id for image in events.images], dtype=int)
    event = np.array([image.event for image in events.images], dtype=int)
    for prop, name in property_prefixes(network.prefix, network.tasks).items():
        tables = {f"{FIELD[prop]}/{name}": (f"{name}_tel", values(estimates, prop, with_impact))}
        if with_impact and prop is ReconstructionProperty.GEOMETRY:
            distance = {"distance": estimates.distance}
            tables[f"impact/{name}"] = (f"{name}_tel_impact", distance)
        for table, (prefix, columns) in tables.items():
            for tel_id in np.unique(tel_ids):
                mine = tel_ids == tel_id
                path = f"/dl2/event/telescope/{table}/tel_{tel_id:03d}"
                named = {f"{prefix}_{key}": c[mine] for key, c in _plain(columns).items()}
                keys = {k: getattr(events, k)[event[mine]] for k in ("obs_id", "event_id")}
                named |= keys | {"tel_id": tel_id}
                rows[path] = writer.rows(path, int(mine.sum()), named)
    return rows


def _stereo_rows(network, events, estimates, writer):
    """Rows of the subarray tables, all events at once."""
    rows = {}
    with_impact = "impact" in network.tasks
    event = np.array([image.event for image in events.images], dtype=int)
    column_of = {int(tel_id): i for i, tel_id in enumerate(network.subarray.tel_ids)}
    place = np.array([column_of[image.tel_id] for image in events.images], dtype=int)
    parameters = [Dl1Row(image).parameters for image in events.images]
    for combiner in network.stereo_combiners:
        columns = _plain(values(estimates, combiner.property, with_impact))
        weights = telescope_weights(combiner, parameters)
        combined = stereo_columns(combiner, event, len(events), columns, weights)
        telescopes = np.zeros((len(events), len(column_of)), dtype=bool)
        used = columns["is_valid"]
        telescopes[event[used], place[used]] = True
        combined["telescopes"] = telescopes
        named = {f"{combiner.prefix}_{name}": column for name, column in combined.items()}
        named |= {"obs_id": events.obs_id, "event_id": events.event_id}
        path = f"/dl2/event/subarray/{FIELD[combiner.property]}/{combiner.prefix}"
        rows[path] = writer.rows(path, len(events), named)
    return rows


def example_event(network, index):
    """Event without results in which all telescopes have triggered.

    Parameters
    ----------
    network : GammaPhysNetReconstructor
    index : ctapipe.containers.EventIndexContainer
        With the types in the file.
    """
    event = ArrayEventContainer(index=index)
    event.trigger.tels_with_trigger = np.array(network.subarray.tel_ids)
    fill_telescopes([], Estimates.empty(0), [event], network.prefix, network.tasks)
    combine(event, network.stereo_combiners, "impact" in network.tasks)
    return event


def _combined_one_by_one(network, events, estimates, event_rows):
    """Rows of the subarray tables, by combiners that see one event at a time."""
    arrays = [
        ArrayEventContainer(index=EventIndexContainer(obs_id=o, event_id=e))
        for o, e in zip(events.obs_id, events.event_id, strict=True)
    ]
    keys = [(image.event, image.tel_id) for image in events.images]
    for image in events.images:
        event = arrays[image.event]
        triggered = [*(event.trigger.tels_with_trigger or []), image.tel_id]
        event.trigger.tels_with_trigger = triggered
        found = Dl1Row(image).parameters
        event.dl1.tel[image.tel_id].parameters = _container(found)
    fill_telescopes(keys, estimates, arrays, network.prefix, network.tasks)
    for event in arrays:
        combine(event, network.stereo_combiners, "impact" in network.tasks)
        event_rows.add(event, algorithms(network))
    rows = event_rows.read()
    event_rows.close()
    return {path: r for path, r in rows.items() if path.startswith("/dl2/event/subarray/")}


def _container(parameters):
    """Image parameters as ctapipe's containers."""
    container = ImageParametersContainer()
    for name, part in container.items() if parameters is not None else ():
        for field in part.fields:
            try:
                part[field] = getattr(getattr(parameters, name), field)
            except AttributeError:  # not in this file
                continue
    return container
