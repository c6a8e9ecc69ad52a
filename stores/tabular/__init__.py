"""Reading and writing tables: CSV, TSV, JSON lines, JSON and Parquet, by one set of rules.

Training, batch scoring and label files all read through `open_table`, so a file means the same to each of them::

    table = open_table(Path("tickets.csv"), TableOptions(encoding="cp1252"))
    table.columns                                   # ["id", "text", "label"]: as the file has them, with duplicates
    for row in table.rows(needed=["text", "label"]):
        row.number, row.line, row.values, row.problem
    table.counts                                    # lines = rows + refused + header + blank + continuation

**Format.** The suffix decides (`.csv .tsv .txt .jsonl .ndjson .json .parquet .pq`); without one, or with an unknown
one, the content does. Whether a text file is compressed with gzip is always read from its first bytes. Workbooks,
archives and other binary files are refused by name.

**Text.** A byte order mark decides the encoding; else `encoding` does. UTF-16 without a mark is recognised. Lines end
in LF, CRLF or CR. Encodings whose line ends are not single bytes are read as UTF-8 (offsets count bytes of that).

**Delimited rows.** The first line that is not blank holds the column names, unless `header` is false; `sep=;` above
it is obeyed. The delimiter is the one that gives the first lines the same number of columns. Quotes follow `quote`:
`double` is RFC 4180, `backslash` also takes `\\"` for a quote, `none` takes a quote for a character, and `auto`
decides between them by the first MiB. A quoted field that is followed by text, is never closed, or spans lines that
are rows by themselves does not swallow these lines: its first line is refused (or read as it is), and reading
continues on the next line.

**Rows that cannot be read** are yielded with a `problem` and raise nothing: wrong number of fields, broken quotes,
broken JSON, an undecodable value in a column of `needed`, a row longer than `MAX_ROW_BYTES`. What concerns the whole
file raises a `TableError` (tree in `errors.py`).

**Position.** Each chunk of rows carries the `Position` behind it. `table.chunks(position)` continues there with the
same chunks and the same counts as an uninterrupted reading.

**Bounds** are in `limits.py`; each bounds memory by bytes before the memory is taken. Parquet needs pyarrow, which is
imported when a Parquet file is opened.
"""

from stores.tabular.errors import (
    TableDamaged,
    TableError,
    TableFormatUnknown,
    TableNotFound,
    TableRefused,
)
from stores.tabular.formats import SUFFIXES, looks_like_table_name, open_table
from stores.tabular.options import TableOptions
from stores.tabular.table import Chunk, LineCounts, Position, Row, Table, unique_names
from stores.tabular.writers import Columns, NewColumn, TableWriter, writer_for

__all__ = [
    "SUFFIXES",
    "Chunk",
    "Columns",
    "LineCounts",
    "NewColumn",
    "Position",
    "Row",
    "Table",
    "TableDamaged",
    "TableError",
    "TableFormatUnknown",
    "TableNotFound",
    "TableOptions",
    "TableRefused",
    "TableWriter",
    "looks_like_table_name",
    "open_table",
    "unique_names",
    "writer_for",
]
