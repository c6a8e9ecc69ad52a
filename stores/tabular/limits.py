"""Bounds of what a file may take, in bytes unless said otherwise. Each is checked before the memory is taken."""

from __future__ import annotations

MAX_ROW_BYTES = 16 * 2**20
"""A row of a text file that is longer is refused, and reading continues behind it. The longest text that a model reads
is a few hundred KiB; a longer row is a quotation mark that is not closed, or a file that is not made of rows."""

MAX_LINE_BYTES = 256 * 2**20
"""A line that is longer ends the reading: 256 KiB of gzip can hold it, and it would be skipped for minutes."""

BLOCK_BYTES = 256 * 2**10
"""Bytes that are read from a text file at a time."""

SAMPLE_BYTES = 2**20
"""First bytes of a text file by which delimiter, quoting, line ends and columns are found."""

CHUNK_ROWS = 4096
CHUNK_BYTES = 4 * 2**20
"""Rows, and bytes of rows, at which a chunk ends, whichever comes first."""

MAX_QUOTED_LINES = 100_000
"""Lines that one quoted field may span."""

PARQUET_BATCH_ROWS = 256
PARQUET_BATCH_BYTES = 64 * 2**20
"""Rows that are decoded at a time: 256, or fewer where they could take more bytes than this."""

PARQUET_MAX_PAGE_BYTES = 64 * 2**20
PARQUET_MAX_RATIO = 50
"""A page cannot be read in parts. One that takes more bytes than the first figure uncompressed, and more than the
second times its compressed size, is refused. Writers make pages of about 1 MiB; of long texts they make larger ones,
which take memory in proportion to the file."""

PARQUET_MAX_VALUES_PER_BYTE = 4096
PARQUET_MAX_NESTED_VALUES = 16 * 2**20
"""A nested column chunk with more values than this, and more values per encoded byte than that, is refused: all of them
may belong to one row."""
