"""Results as pandas tables (needs the extra `data`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mofsim_client._exceptions import MissingPackageError, MOFSimError

if TYPE_CHECKING:
    from pandas import DataFrame

    from mofsim_client.results import Result


def frame(columns: Mapping[str, list[Any]] | list[dict[str, Any]]) -> DataFrame:
    """A table of these columns, or of these rows."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise MissingPackageError("This needs pandas: pip install 'mofsim-client[data]'.") from error
    return DataFrame(columns)


def to_dataframe(results: Iterable[Result | MOFSimError]) -> DataFrame:
    """Many results as one table, a row each, with the single figures of each as columns.

    Parameters
    ----------
    results
        What `wait_all` returned; an error (`return_errors=True`) becomes a row with its text in
        `error`.

    Examples
    --------
    >>> table = to_dataframe(client.wait_all(tasks, return_errors=True))  # doctest: +SKIP
    >>> table.sort_values("bulk_modulus_GPa")[["structure_name", "bulk_modulus_GPa"]]  # doctest: +SKIP
    """
    return frame([{"error": str(one)} if isinstance(one, MOFSimError) else one.figures() for one in results])
