"""What a run leaves behind, written so that each figure can be traced to the code and machine that it came from.

The record of a run (`run.json`) is a plain dictionary; `records.schema` lists its keys. The room also holds the figures
that the paper and its authors published. It reads, writes and checks records; it does not know how a run is made.
"""

from branchynet.records.provenance import environment
from branchynet.records.published import Published, load_published, select
from branchynet.records.schema import SCHEMA, check_run
from branchynet.records.writing import prepare_output, read_json, read_run, write_json, write_sweep, write_text
