"""The report of a run as one HTML file that asks nothing of any network, and the page that lists released runs.

`run_page` puts a run's record and exit records into a template, `images` chooses which test images go with them, and
`rendering` fills templates in (Jinja2) and brings the charts (Vega-Lite). What a reader's T gives is counted in the
browser, `templates/run.js`, on the exit records, as `ExitRecords.evaluate` counts. Jinja2 and the charts are of the
extra `report`; they are imported only when a page is made.
"""

from branchynet.report.html.run_page import check_belongs, write_report
from branchynet.report.html.site import site_page
