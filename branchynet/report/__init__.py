"""What a run's record says, in words and tables: its table in the paper's layout, its summary, the comparisons.

`rows` holds the clocks and the gains, once, for every table and figure; the other modules choose columns. Everywhere
`run` is a run's record (`branchynet.records`), and `published` is what `load_published` reads: the figures of the paper
and its authors. `html` makes pages of them. The room computes nothing but means over seeds.
"""

from branchynet.report.bench import benchmark_tables, precision_table
from branchynet.report.comparison import comparison, gains_of
from branchynet.report.paper_figures import paper_figures, published_sweep
from branchynet.report.summary import shorter_path, summary
from branchynet.report.table import OPERATING_HEADINGS, operating_cells, operating_points, table
from branchynet.report.table_one import front_table, table_one
